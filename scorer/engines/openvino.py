"""OpenVINO on the processor."""

import threading
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
        """In fp32, as the network is."""
        import openvino

        core = openvino.Core()
        compiled = core.compile_model(
            core.read_model(onnx_graph.graph_of(network, example, calls.graph)),
            "CPU",
            {
                "NUM_STREAMS": calls.at_once,
                "INFERENCE_NUM_THREADS": calls.at_once * calls.threads,
                "INFERENCE_PRECISION_HINT": "f32",
                "ENABLE_CPU_PINNING": False,
            },
        )
        own = threading.local()  # a request serves one thread

        def run(picture: Any) -> list[Any]:
            if not hasattr(own, "request"):
                own.request = compiled.create_infer_request()
            answered = own.request.infer([picture])
            return [answered[place].copy() for place in range(len(compiled.outputs))]  # the request writes there again

        return lambda pictures: onnx_graph.one_by_one(run, pictures)
