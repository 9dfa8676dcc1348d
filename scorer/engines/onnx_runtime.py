"""ONNX Runtime on the processor."""

from typing import Any

import torch
from torch import nn

from scorer.engines import onnx_graph
from scorer.engines.protocol import EngineOptions, Forward


class OnnxRuntimeEngine:
    """One session, which any number of threads may call."""

    def unavailable_reason(self, device: torch.device) -> str | None:
        """Return why it cannot be used: it is an extra, for processors."""
        return onnx_graph.unavailable_reason("onnxruntime", device)

    def compile(
        self, network: nn.Module, example: torch.Tensor, options: EngineOptions, cell_px: int | None
    ) -> Forward:
        """Return a `Forward` that computes in fp32."""
        import onnxruntime

        session_options = onnxruntime.SessionOptions()
        session_options.intra_op_num_threads, session_options.inter_op_num_threads = options.threads_per_call, 1
        session_options.log_severity_level = 3  # errors; the rest is about choices of its own
        graph = onnx_graph.load_or_export(network, example, cell_px, options.graph_file)
        session = onnxruntime.InferenceSession(graph, session_options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name

        def run(image: Any) -> Any:
            return session.run(None, {name: image})

        return lambda images: onnx_graph.run_one_by_one(run, images)
