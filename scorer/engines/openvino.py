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
            shared = openvino_arrays(pictures.contiguous(), *answers)
            # All are started before the first is waited for, so that no core waits for Python between two of them.
            for request, (picture, *places) in zip(own.requests, shared, strict=False):
                request.set_input_tensor(picture)
                for number, place in enumerate(places):
                    request.set_output_tensor(number, place)
                request.start_async()
            for request, _ in zip(own.requests, pictures, strict=False):
                request.wait()
            return answers

        def openvino_arrays(*batches: torch.Tensor) -> list[list[Any]]:
            """Of every picture, one after another: its place in each of the batches, read and written there."""
            arrays = [batch.numpy() for batch in batches]
            return [
                [openvino.Tensor(array[number : number + 1], shared_memory=True) for array in arrays]
                for number in range(len(arrays[0]))
            ]

        return encode
