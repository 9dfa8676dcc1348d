"""Nearest neighbours by Euclidean distance, and the one vector a patch becomes when its layers are joined."""

import torch
from einops import rearrange

from scorer.distances.cosine import to_unit_length

MAX_PRODUCTS = 1 << 22
"""Most products held at once (16 MiB of float32); more queries go in parts, which changes no value."""


def concat_layers(tokens: torch.Tensor) -> torch.Tensor:
    """All layers of a patch side by side: (L, B, P, W) to (B, P, L·W)."""
    return rearrange(tokens, "l b p w -> b p (l w)")


def used_channels(tokens: torch.Tensor) -> list[int]:
    """Up to which channel each layer of (L, B, P, W) is used: the rest is zeros that fill it up to others' width."""
    used = (tokens != 0).flatten(1, 2).any(dim=1)
    return [int(layer.nonzero().max()) + 1 if layer.any() else len(layer) for layer in used]


def concat_unit_layers(tokens: torch.Tensor) -> torch.Tensor:
    """Layers at unit length side by side, of unit length together: (L, B, P, W) to (B, P, L·W).

    The cosine of two such patches is the mean of their layers' cosines.
    """
    return concat_layers(to_unit_length(tokens)) * float(len(tokens) ** -0.5)


def nearest_euclidean(queries: torch.Tensor, kept: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Distance of each of (N, D) to its nearest among (M, D), and which that is: two tensors (N,).

    Products alone choose the neighbour; its distance is that of the difference, so near ones are not lost in rounding.
    """
    middle = kept.mean(dim=0)
    centred = kept - middle
    half_lengths = centred.square().sum(dim=1) / 2
    rows = max(1, MAX_PRODUCTS // len(kept))
    places = torch.cat(
        [torch.addmm(half_lengths, part, centred.T, alpha=-1).argmin(1) for part in torch.split(queries - middle, rows)]
    )
    return (queries - kept[places]).norm(dim=1), places
