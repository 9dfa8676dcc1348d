"""OpenVINO on the processor."""

import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from scorer.engines import onnx_graph
from scorer.engines.protocol import EngineOptions, Forward

MAX_COMPILED_SIZES = 8
"""So many heights and widths have a compilation of their own; others share one for any size."""


class OpenVinoEngine:
    """As many streams as there are calls at once, none bound to a core: others want those too."""

    def missing(self, device: torch.device) -> str | None:
        """It is an extra."""
        return onnx_graph.unavailable_reason("openvino", device)

    def compile(self, network: nn.Module, example: torch.Tensor, calls: EngineOptions, cell_px: int | None) -> Forward:
        """The network in whatever precision it is, for each height and width when a picture of that size first comes.

        Of one size it is a tenth faster than of any, and compiling takes a twentieth of a second and 35 MB.
        """
        sizes = _Sizes(network, example, calls, cell_px)
        sizes.encode(example)  # what can't be compiled is told now
        return sizes.encode


class _Sizes:
    """What is compiled of a network; safe from any thread."""

    def __init__(self, network: nn.Module, example: torch.Tensor, calls: EngineOptions, cell_px: int | None) -> None:
        import openvino

        self._core = openvino.Core()
        self._graph = onnx_graph.load_or_export(network, example, cell_px, calls.graph)
        self._how = {
            "NUM_STREAMS": calls.at_once,
            "INFERENCE_NUM_THREADS": calls.at_once * calls.threads,
            "INFERENCE_PRECISION_HINT": "bf16" if onnx_graph.is_bf16(network) else "f32",
            "ENABLE_CPU_PINNING": False,
        }
        self._by_size: dict[tuple[int, int], Forward] = {}
        self._of_any: _Requests | None = None
        self._alone = threading.Lock()

    def encode(self, pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """An `Encode`."""
        height, width = pictures.shape[2:]
        with self._alone:
            if (height, width) not in self._by_size:
                self._by_size[height, width] = self._made(height, width)
        return self._by_size[height, width](pictures.contiguous())

    def _made(self, height: int, width: int) -> Forward:
        model = self._core.read_model(self._graph)
        model.reshape([1, 3, height, width])
        shapes = [tuple(output.shape)[1:] for output in model.outputs]
        if len(self._by_size) < MAX_COMPILED_SIZES:
            requests = self._compiled(model)
        else:
            requests = self._of_any = self._of_any or self._compiled(self._core.read_model(self._graph))
        return lambda pictures: requests.encode(pictures, shapes)

    def _compiled(self, model: Any) -> "_Requests":
        return _Requests(self._core.compile_model(model, "CPU", self._how))


class _Requests:
    """A compiled network and the requests to it, of which each serves one thread."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._own = threading.local()

    def encode(self, pictures: torch.Tensor, shapes: Sequence[Sequence[int]]) -> tuple[torch.Tensor, ...]:
        """As an `Encode`; shapes: of a picture's answers."""
        from openvino import Tensor

        requests: list[Any] = self._own.__dict__.setdefault("requests", [])
        requests += [self._compiled.create_infer_request() for _ in range(len(requests), len(pictures))]
        answers = tuple(torch.empty(len(pictures), *shape) for shape in shapes)
        places = [
            [Tensor(one[number : number + 1].numpy(), shared_memory=True) for one in (pictures, *answers)]
            for number in range(len(pictures))
        ]
        run_requests(requests, places)
        return answers


def run_requests(requests: Sequence[Any], places: Sequence[Sequence[Any]]) -> None:
    """Each request reads a picture and writes its answers, at these places in memory; raises what one of them raised.

    All are started before the first is waited for, so that no core waits for Python between two of them. All that were
    started are waited for whatever happens: they write to memory that is the caller's again after this.
    """
    started, troubles = [], []
    try:
        for request, (picture, *answers) in zip(requests, places, strict=False):
            request.set_input_tensor(picture)
            for number, answer in enumerate(answers):
                request.set_output_tensor(number, answer)
            request.start_async()
            started.append(request)
    finally:
        for request in started:
            try:
                request.wait()
            except RuntimeError as error:
                troubles.append(error)
    if troubles:
        raise troubles[0]
