"""All engines by name: a new one is one file and one line here."""

from collections.abc import Mapping

import torch
from torch import nn

from scorer.engines.cuda_graphs import CudaGraphs
from scorer.engines.measurements import EngineName
from scorer.engines.onnx_runtime import OnnxRuntimeEngine
from scorer.engines.openvino import OpenVinoEngine
from scorer.engines.protocol import Engine, EngineOptions, Forward
from scorer.engines.torch_eager import TorchEagerEngine
from scorer.errors import UnsupportedEngine

ENGINES: Mapping[EngineName, Engine] = {
    "torch": TorchEagerEngine(),
    "openvino": OpenVinoEngine(),
    "onnxruntime": OnnxRuntimeEngine(),
    "cuda-graphs": CudaGraphs(),
}


def compile_network(
    name: EngineName, network: nn.Module, example: torch.Tensor, options: EngineOptions, cell_px: int | None = None
) -> Forward:
    """Compile a network on the engine of that name, see `Engine.compile`; raises `UnsupportedEngine`."""
    if reason := ENGINES[name].unavailable_reason(example.device):
        raise UnsupportedEngine(f"scorer.engine is {name}: {reason}")
    return ENGINES[name].compile(network, example, options, cell_px)
