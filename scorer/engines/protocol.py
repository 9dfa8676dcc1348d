"""What an engine is: it makes one function of a network."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

Forward = Callable[[torch.Tensor], tuple[torch.Tensor, ...]]
"""Pictures (B, 3, H, W), float32, to what the network gives of them, float32; safe from any thread."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How a network will be called: so many calls at the same time, each of which may use so many threads.

    graphs: the folder in which an engine may keep what it made of a network, by the name of this; None to keep nothing.
    """

    at_once: int = 1
    threads: int = 1
    graphs: Path | None = None
    network: str = ""

    @property
    def graph(self) -> Path | None:
        """The file for what an engine makes of the network."""
        return self.graphs / f"{self.network}.onnx" if self.graphs and self.network else None


SINGLE_CALL = EngineOptions()


class Engine(Protocol):
    """Turns a network, ready to infer and with a tuple of tensors for an answer, into an `Encode`."""

    def missing(self, device: torch.device) -> str | None:
        """Why it can't be used on this machine, a sentence with the way out; None where it can."""

    def compile(self, network: nn.Module, example: torch.Tensor, calls: EngineOptions, cell_px: int | None) -> Forward:
        """example: (1, 3, H, W), float32, on the network's device.

        cell_px: heights and widths that come are multiples of it up to the example's; None where no others come.
        """
