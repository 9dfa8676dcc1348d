"""CUDA graphs: the hundreds of small kernels of a network are launched at once, for a few fixed batch sizes."""

import threading
from dataclasses import dataclass

import torch
from torch import nn

from scorer.engines.fixed_batch import with_fixed_batches
from scorer.engines.protocol import EngineOptions, Forward

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
WARM_UP_CALLS = 3
MAX_GRAPHS = 3 * len(BATCH_SIZES)
"""Each holds memory: pictures of yet another height and width go to the network without one."""


@dataclass(frozen=True, slots=True)
class CapturedGraph:
    """A graph with the places in memory that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    pictures: torch.Tensor
    answers: tuple[torch.Tensor, ...]


class CudaGraphs:
    """Captures a size when it first comes; one call at a time, as the places in memory are shared."""

    def missing(self, device: torch.device) -> str | None:
        """It needs a GPU of NVIDIA."""
        return None if device.type == "cuda" else f"CUDA graphs need a GPU, and the model runs on {device.type}."

    def compile(self, network: nn.Module, example: torch.Tensor, calls: EngineOptions, cell_px: int | None) -> Forward:
        """The network in whatever precision it is."""
        captured: dict[tuple[int, ...], CapturedGraph] = {}
        alone = threading.Lock()

        @torch.inference_mode()
        def encode(pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
            with alone:
                shape = tuple(pictures.shape)
                if shape not in captured:
                    if len(captured) >= MAX_GRAPHS:
                        return tuple(answer.float() for answer in network(pictures))
                    captured[shape] = _capture(network, pictures)
                one = captured[shape]
                one.pictures.copy_(pictures, non_blocking=True)
                one.graph.replay()
                return tuple(answer.float().clone() for answer in one.answers)

        return with_fixed_batches(encode, BATCH_SIZES)


def _capture(network: nn.Module, pictures: torch.Tensor) -> CapturedGraph:
    place = pictures.clone()
    beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(WARM_UP_CALLS):
            network(place)
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        answers = tuple(network(place))
    return CapturedGraph(graph, place, answers)
