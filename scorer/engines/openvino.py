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

    def compile(self, network: nn.Module, example: torch.Tensor, calls: Calls) -> Encode:
        """The network in whatever precision it is."""
        import openvino

        core = openvino.Core()
        compiled = core.compile_model(
            core.read_model(onnx_graph.graph_of(network, example, calls.graph)),
            "CPU",
            {
                "NUM_STREAMS": calls.at_once,
                "INFERENCE_NUM_THREADS": calls.at_once * calls.threads,
                "INFERENCE_PRECISION_HINT": "bf16" if onnx_graph.is_bf16(network) else "f32",
                "ENABLE_CPU_PINNING": False,
            },
        )
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

        return lambda pictures: encode(pictures.contiguous())


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
