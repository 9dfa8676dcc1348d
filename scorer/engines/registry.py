"""The engines there are, by name: a new one is one file and one line here."""

from collections.abc import Mapping

import torch
from torch import nn

from scorer.engines.cuda_graphs import CudaGraphs
from scorer.engines.measured import EngineName
from scorer.engines.onnx_runtime import OnnxRuntime
from scorer.engines.openvino import OpenVino
from scorer.engines.plain import Plain
from scorer.engines.protocol import Calls, Encode, Engine
from scorer.errors import UnfitEngine

ENGINES: Mapping[EngineName, Engine] = {
    "torch": Plain(),
    "openvino": OpenVino(),
    "onnxruntime": OnnxRuntime(),
    "cuda-graphs": CudaGraphs(),
}


def compiled(
    name: EngineName, network: nn.Module, example: torch.Tensor, calls: Calls, cell_px: int | None = None
) -> Encode:
    """The network on that engine, see `Engine.compile`; raises `UnfitEngine` where it isn't there."""
    if why := ENGINES[name].missing(example.device):
        raise UnfitEngine(f"scorer.engine is {name}: {why}")
    return ENGINES[name].compile(network, example, calls, cell_px)
