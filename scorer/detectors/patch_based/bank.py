"""The references of nearest patch: all patches of the normals, and how a query patch is searched among them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from einops import rearrange

from scorer.detectors.patch_based.patches import Patches
from scorer.distances.cosine import to_unit_length
from scorer.distances.euclidean import used_channels


@dataclass(frozen=True, slots=True)
class PatchBank:
    """Patches of K normals at unit length, without the rows and columns of the grid that are padding in all of them.

    They lie row by row of the grid, so that the few rows that a window reaches are side by side in memory.

    Attributes:
        layers: For each layer (rows, K, columns, D), float32 or bfloat16.
        valid_mask: Which of them show their image and not padding, (rows, K, columns) bool.
        origin: Row and column of the grid at which the bank begins.
        layer_weights: The factor of each layer's distances, (L,).
        window: A patch is compared with those at most this many cells up, down, left and right of its own position; 0
            for all.
    """

    layers: Sequence[torch.Tensor]
    valid_mask: torch.Tensor
    origin: tuple[int, int]
    layer_weights: torch.Tensor
    window: int = 0

    @classmethod
    def of(cls, normals: Patches) -> "PatchBank":
        """Collect the patches of normals, with no more channels than a layer uses."""
        tokens, rows = to_unit_length(normals.tokens), normals.grid[0]
        by_row = rearrange(tokens, "l k (r c) d -> l r k c d", r=rows)
        valid_mask = rearrange(normals.valid_mask, "k (r c) -> r k c", r=rows)
        height, width = _extent(valid_mask.any(dim=(1, 2))), _extent(valid_mask.any(dim=(0, 1)))
        channels = used_channels(tokens)
        layers = [layer[height, :, width, :used] for layer, used in zip(by_row, channels, strict=True)]
        weights = torch.ones(len(tokens), device=tokens.device)
        return cls(layers, valid_mask[height, :, width].contiguous(), (height.start, width.start), weights)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> "PatchBank":
        """Return the bank that `to_tensors` was called on."""
        weights = tensors["layer_weights"]
        row, column = tensors["origin"].tolist()
        layers = [tensors[f"layer {number}"] for number in range(len(weights))]
        return cls(layers, tensors["valid_mask"], (row, column), weights, int(tensors["window"]))

    def to_tensors(self) -> dict[str, torch.Tensor]:
        """Return the bank as named tensors, ready for a safetensors file."""
        layers = {f"layer {number}": layer.contiguous() for number, layer in enumerate(self.layers)}
        return layers | {
            "valid_mask": self.valid_mask,
            "origin": torch.tensor(self.origin),
            "layer_weights": self.layer_weights,
            "window": torch.tensor(self.window),
        }

    def to_dtype(self, dtype: torch.dtype) -> "PatchBank":
        """Return the bank with its patches in that type."""
        return replace(self, layers=[layer.to(dtype) for layer in self.layers])

    def without(self, normal: int) -> "PatchBank":
        """Return the bank of all normals but one, as if it began at the grid's first row and column."""
        others = torch.arange(self.valid_mask.shape[1], device=self.valid_mask.device) != normal
        layers = [layer[:, others] for layer in self.layers]
        return replace(self, layers=layers, valid_mask=self.valid_mask[:, others], origin=(0, 0))


def _extent(used: torch.Tensor) -> slice:
    """Return the range from the first to the last of (N,) that is True; raises `ValueError` where none is."""
    positions = used.nonzero().flatten().tolist()
    return slice(min(positions), max(positions) + 1)
