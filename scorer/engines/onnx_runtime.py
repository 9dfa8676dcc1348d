"""ONNX Runtime on the processor."""

from typing import Any

import torch
from torch import nn

from scorer.engines import onnx_graph
from scorer.engines.protocol import EngineOptions, Forward


class OnnxRuntimeEngine:
    """One session, which any number of threads may call."""

    def missing(self, device: torch.device) -> str | None:
        """It is an extra."""
        return onnx_graph.unavailable_reason("onnxruntime", device)

    def compile(self, network: nn.Module, example: torch.Tensor, calls: EngineOptions, cell_px: int | None) -> Forward:
        """In fp32, as the network is."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = calls.threads, 1
        options.log_severity_level = 3  # errors; the rest is about choices that are its own
        graph = onnx_graph.load_or_export(network, example, cell_px, calls.graph)
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name

        def run(picture: Any) -> Any:
            return session.run(None, {name: picture})

        return lambda pictures: onnx_graph.one_by_one(run, pictures)
