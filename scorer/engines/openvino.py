"""OpenVINO on the processor."""

import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from scorer.engines import onnx_graph
from scorer.engines.protocol import Calls, Encode


class OpenVino:
    """As many streams as there are calls at once, none bound to a core: others want those too."""

    def missing(self, device: torch.device) -> str | None:
        """It is an extra."""
        return onnx_graph.missing("openvino", device)

    def compile(self, network: nn.Module, example: torch.Tensor, calls: Calls, cell_px: int | None) -> Encode:
        """The network in whatever precision it is, for each height and width when a picture of that size first comes.

        Of one size it is faster than of any, and compiling takes a twentieth of a second.
        """
        import openvino

        graph = onnx_graph.graph_of(network, example, cell_px, calls.graph)
        hint = "bf16" if onnx_graph.is_bf16(network) else "f32"
        core, alone = openvino.Core(), threading.Lock()
        by_size: dict[tuple[int, int], Encode] = {}

        def of_size(height: int, width: int) -> Encode:
            model = core.read_model(graph)
            model.reshape([1, 3, height, width])
            return _encode_of(core.compile_model(model, "CPU", _how(calls, hint)))

        def encode(pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
            height, width = pictures.shape[2:]
            with alone:
                if (height, width) not in by_size:
                    by_size[height, width] = of_size(height, width)
            return by_size[height, width](pictures.contiguous())

        encode(example)  # what can't be compiled is told now
        return encode


def _how(calls: Calls, hint: str) -> dict[str, Any]:
    return {
        "NUM_STREAMS": calls.at_once,
        "INFERENCE_NUM_THREADS": calls.at_once * calls.threads,
        "INFERENCE_PRECISION_HINT": hint,
        "ENABLE_CPU_PINNING": False,
    }


def _encode_of(compiled: Any) -> Encode:
    """A compiled network of one size of pictures."""
    import openvino

    shapes = [tuple(output.shape)[1:] for output in compiled.outputs]
    own = threading.local()  # a request serves one thread

    def encode(pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if not hasattr(own, "requests"):
            own.requests = []
        own.requests += [compiled.create_infer_request() for _ in range(len(own.requests), len(pictures))]
        answers = tuple(torch.empty(len(pictures), *shape) for shape in shapes)
        places = [
            [openvino.Tensor(one[number : number + 1].numpy(), shared_memory=True) for one in (pictures, *answers)]
            for number in range(len(pictures))
        ]
        infer(own.requests, places)
        return answers

    return encode


def infer(requests: Sequence[Any], places: Sequence[Sequence[Any]]) -> None:
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
