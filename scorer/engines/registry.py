"""The engines there are, by name: a new one is one file and one line here."""

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
    name: EngineName, network: nn.Module, example: torch.Tensor, calls: EngineOptions, cell_px: int | None = None
) -> Forward:
    """The network on that engine, see `Engine.compile`; raises `UnsupportedEngine` where it isn't there."""
    if why := ENGINES[name].missing(example.device):
        raise UnsupportedEngine(f"scorer.engine is {name}: {why}")
    return ENGINES[name].compile(network, example, calls, cell_px)
