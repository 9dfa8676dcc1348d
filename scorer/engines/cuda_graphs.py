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
"""Each graph holds memory; images of further heights and widths go through the network without one."""


@dataclass(frozen=True, slots=True)
class CapturedGraph:
    """A graph, and the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    images: torch.Tensor
    outputs: tuple[torch.Tensor, ...]


class CudaGraphs:
    """Captures a size when it first occurs; one call at a time, since the tensors are shared."""

    def unavailable_reason(self, device: torch.device) -> str | None:
        """Return why it cannot be used: it needs an NVIDIA GPU."""
        return None if device.type == "cuda" else f"CUDA graphs need a GPU, and the model runs on {device.type}."

    def compile(
        self, network: nn.Module, example: torch.Tensor, options: EngineOptions, cell_px: int | None
    ) -> Forward:
        """Return a `Forward` that captures the network, in whatever precision it is, per shape."""
        captured: dict[tuple[int, ...], CapturedGraph] = {}
        lock = threading.Lock()

        @torch.inference_mode()
        def forward(images: torch.Tensor) -> tuple[torch.Tensor, ...]:
            with lock:
                shape = tuple(images.shape)
                if shape not in captured:
                    if len(captured) >= MAX_GRAPHS:
                        return tuple(output.float() for output in network(images))
                    captured[shape] = _capture(network, images)
                graph = captured[shape]
                graph.images.copy_(images, non_blocking=True)
                graph.graph.replay()
                return tuple(output.float().clone() for output in graph.outputs)

        return with_fixed_batches(forward, BATCH_SIZES)


def _capture(network: nn.Module, images: torch.Tensor) -> CapturedGraph:
    static_images = images.clone()
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP_CALLS):
            network(static_images)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = tuple(network(static_images))
    return CapturedGraph(graph, static_images, outputs)
