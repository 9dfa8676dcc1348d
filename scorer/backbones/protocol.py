"""What a detector that compares patches needs of a backbone."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from einops import rearrange

from scorer.imaging.framing import CellBox


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


@runtime_checkable
class CropsPadding(Protocol):
    """A backbone that takes pictures of fewer cells as well, for less, and so needs no bars (docs/adr/0030)."""

    def tokens_within(self, pixels: torch.Tensor, box: CellBox) -> torch.Tensor:
        """Pictures of the cells in `box`, to tokens as `tokens` gives them: of the whole grid, 0 outside the box."""


def scatter_to_grid(layers: Sequence[torch.Tensor], box: CellBox | None, grid: tuple[int, int]) -> torch.Tensor:
    """Layers (B, patches of the box, its width) as tokens of the whole grid: (layers, B, patches, the largest width).

    box: None for all of it. What lies outside and beyond a layer's width is 0, which changes no cosine.
    """
    box = box or CellBox(0, grid[0], 0, grid[1])
    pictures, width = len(layers[0]), max(layer.shape[2] for layer in layers)
    whole = layers[0].new_empty(len(layers), pictures, *grid, width)  # (L, B, rows, columns, W)
    whole[:, :, : box.top] = 0
    whole[:, :, box.bottom :] = 0
    whole[:, :, box.rows, : box.left] = 0
    whole[:, :, box.rows, box.right :] = 0
    for number, layer in enumerate(layers):
        inside = whole[number, :, box.rows, box.columns]
        inside[..., : layer.shape[2]] = rearrange(layer, "b (r c) w -> b r c w", r=inside.shape[1])
        inside[..., layer.shape[2] :] = 0
    return whole.flatten(2, 3)
