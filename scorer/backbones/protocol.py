"""The protocol of backbones for detectors that compare patches."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from einops import rearrange

from scorer.imaging.framing import CellBox


class PatchBackbone(Protocol):
    """Encodes framed images to patch tokens; the tokens of a batch equal those of its images one by one."""

    @property
    def name(self) -> str:
        """Name in the registry, such as ``andon-tiny``."""

    @property
    def weights_sha256(self) -> str | None:
        """The sha256 of the weights file; None where nothing is learned."""

    @property
    def device(self) -> torch.device:
        """Where the network runs."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images that it takes, in pixels."""

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""

    @property
    def configuration(self) -> Mapping[str, float]:
        """Everything besides the weights that its values depend on."""

    def tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode images (B, 3, H, W), uint8 RGB of `size`: (L, B, P, D) float32, patches row by row."""


@runtime_checkable
class CropsPadding(Protocol):
    """A backbone that also takes images of fewer cells, in less time, and so can skip padding (docs/adr/0030)."""

    def tokens_within(self, pixels: torch.Tensor, box: CellBox) -> torch.Tensor:
        """Encode images of the cells in `box` to tokens of the whole grid, as `tokens` does; they are 0 outside it."""


def scatter_to_grid(layers: Sequence[torch.Tensor], box: CellBox | None, grid: tuple[int, int]) -> torch.Tensor:
    """Place the tokens of a box in the whole grid.

    Args:
        layers: L of (B, patches of the box, the layer's width).
        box: Where they lie; None for the whole grid.
        grid: Rows and columns.

    Returns:
        (L, B, P, D), D the largest width; values outside the box and beyond a layer's width are 0, which changes no
        cosine.
    """
    box = box or CellBox(0, grid[0], 0, grid[1])
    images, width = len(layers[0]), max(layer.shape[2] for layer in layers)
    full_grid = layers[0].new_empty(len(layers), images, *grid, width)  # (L, B, rows, columns, D)
    full_grid[:, :, : box.top] = 0
    full_grid[:, :, box.bottom :] = 0
    full_grid[:, :, box.rows, : box.left] = 0
    full_grid[:, :, box.rows, box.right :] = 0
    for number, layer in enumerate(layers):
        inside = full_grid[number, :, box.rows, box.columns]  # a view
        inside[..., : layer.shape[2]] = rearrange(layer, "b (r c) d -> b r c d", r=inside.shape[1])
        inside[..., layer.shape[2] :] = 0
    return full_grid.flatten(2, 3)
