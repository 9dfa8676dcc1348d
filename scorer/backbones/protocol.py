"""What a detector that compares patches needs of a backbone."""

from collections.abc import Mapping
from typing import Protocol

import torch


class PatchBackbone(Protocol):
    """Turns framed pictures into patch tokens; a batch's tokens equal the single ones."""

    @property
    def name(self) -> str: ...

    @property
    def weights_sha256(self) -> str | None:
        """Of the weights file; None where nothing is learned."""

    @property
    def device(self) -> torch.device: ...

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures it takes, in pixels."""

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""

    @property
    def configuration(self) -> Mapping[str, float]:
        """All that its values depend on beside the weights."""

    def tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, height, width), uint8 RGB, to (layers, B, patches row by row, width), float32."""
