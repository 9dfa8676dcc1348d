"""Patch tokens of a batch of images, with their valid cells, their grid and their rotated copies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from scorer.distances.cosine import to_unit_length


@dataclass(frozen=True, slots=True)
class Patches:
    """Patch tokens of B images.

    Attributes:
        tokens: (L, B, P, D) float32, as the backbone returns them.
        valid_mask: (B, P) bool, False in a letterbox's padding.
        grid: Rows and columns; P is their product, row by row.
        copies: How many images belong together, side by side: each normal, then its rotated copies.
        fp32_tokens: The same tokens without rounding, where `tokens` come from a network in bf16; else None.
    """

    tokens: torch.Tensor
    valid_mask: torch.Tensor
    grid: tuple[int, int]
    copies: int = 1
    fp32_tokens: torch.Tensor | None = None

    @property
    def image_count(self) -> int:
        """The number of images, copies not counted."""
        return len(self.valid_mask) // self.copies

    def take(self, positions: Sequence[int]) -> "Patches":
        """Return those images, with all their copies, in that order."""
        rows = [position * self.copies + copy for position in positions for copy in range(self.copies)]
        chosen = torch.tensor(rows).to(self.valid_mask.device)
        fp32_tokens = None if self.fp32_tokens is None else self.fp32_tokens[:, chosen]
        return Patches(self.tokens[:, chosen], self.valid_mask[chosen], self.grid, self.copies, fp32_tokens)

    def without(self, position: int) -> "Patches":
        """Return all images but one and its copies."""
        return self.take([other for other in range(self.image_count) if other != position])

    def unrotated(self) -> "Patches":
        """Return the images as they are, without rotated copies."""
        fp32_tokens = None if self.fp32_tokens is None else self.fp32_tokens[:, :: self.copies]
        return Patches(
            self.tokens[:, :: self.copies], self.valid_mask[:: self.copies], self.grid, fp32_tokens=fp32_tokens
        )

    def descriptors(self) -> npt.NDArray[np.float64]:
        """Return the mean of each image's valid patches at unit length, all layers side by side: (B, L · D)."""
        tokens = to_unit_length(self.tokens)  # (L, B, P, D)
        weights = self.valid_mask.to(tokens.dtype)[None, :, :, None]
        means = (tokens * weights).sum(dim=2) / weights.sum(dim=2).clamp(min=1)  # (L, B, D)
        descriptors: npt.NDArray[np.float64] = torch.cat(list(means), dim=1).float().cpu().numpy().astype(np.float64)
        return descriptors

    @property
    def nbytes(self) -> int:
        """Memory that tokens and masks take, in bytes."""
        rounded = 0 if self.fp32_tokens is None else self.fp32_tokens.nbytes
        return self.tokens.nbytes + self.valid_mask.nbytes + rounded

    @classmethod
    def concatenate(cls, parts: Sequence["Patches"], copies: int = 1) -> "Patches":
        """Join batches of one grid, none of them with `fp32_tokens`; `copies` is that of the result."""
        tokens = torch.cat([part.tokens for part in parts], dim=1)
        return cls(tokens, torch.cat([part.valid_mask for part in parts]), parts[0].grid, copies)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> "Patches":
        """Return the result of `to_arrays`, on the CPU."""
        rows, columns = arrays["grid"].tolist()
        return cls(torch.from_numpy(arrays["tokens"]), torch.from_numpy(arrays["valid_mask"]), (rows, columns))

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return tokens (L, B, P, D) float32, valid_mask (B, P) bool and grid (2,), without copies and fp32 tokens."""
        return {
            "tokens": self.tokens.cpu().numpy(),
            "valid_mask": self.valid_mask.cpu().numpy(),
            "grid": np.array(self.grid),
        }

    def in_fp32(self) -> "Patches":
        """Return the unrounded tokens, for a choice among normals that hangs on the last digits (docs/adr/0029)."""
        if self.fp32_tokens is None:
            return self
        return Patches(self.fp32_tokens, self.valid_mask, self.grid, self.copies)
