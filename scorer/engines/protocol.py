"""The protocol of an engine, which compiles a network to a function."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

Forward = Callable[[torch.Tensor], tuple[torch.Tensor, ...]]
"""From images (B, 3, H, W) float32 to the network's outputs, float32; safe from any thread."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How a network will be called.

    Attributes:
        parallel_calls: Calls at the same time.
        threads_per_call: Threads that each of them may use.
        graph_folder: Where an engine may store its compiled network; None to store nothing.
        network_id: Identifies the network in that folder.
    """

    parallel_calls: int = 1
    threads_per_call: int = 1
    graph_folder: Path | None = None
    network_id: str = ""

    @property
    def graph_file(self) -> Path | None:
        """The file for an engine's compiled network; None to store nothing."""
        return self.graph_folder / f"{self.network_id}.onnx" if self.graph_folder and self.network_id else None


SINGLE_CALL = EngineOptions()


class Engine(Protocol):
    """Compiles a network, ready for inference and with a tuple of tensors as its output, to a `Forward`."""

    def unavailable_reason(self, device: torch.device) -> str | None:
        """Return a sentence why it cannot be used on this machine, with the way out; None where it can."""

    def compile(
        self, network: nn.Module, example: torch.Tensor, options: EngineOptions, cell_px: int | None
    ) -> Forward:
        """Compile a network.

        Args:
            network: In the precision in which it computes.
            example: Images (1, 3, H, W) float32 on the network's device.
            options: How it will be called.
            cell_px: Heights and widths of images are multiples of this up to the example's; None where all are the
                example's.
        """
