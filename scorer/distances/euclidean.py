"""Nearest neighbours by Euclidean distance, and the one vector that a patch becomes when its layers are joined."""

import torch
from einops import rearrange

from scorer.distances.cosine import to_unit_length

MAX_PRODUCTS = 1 << 22
"""Most products held in memory at once (16 MiB of float32); more are computed in chunks, which changes no value."""


def concat_layers(tokens: torch.Tensor) -> torch.Tensor:
    """Put all layers of a patch side by side: (L, B, P, D) to (B, P, L · D)."""
    return rearrange(tokens, "l b p d -> b p (l d)")


def used_channels(tokens: torch.Tensor) -> list[int]:
    """Return how many channels each layer of (L, B, P, D) uses; the rest is zeros that fill it to the others' width."""
    used = (tokens != 0).flatten(1, 2).any(dim=1)  # (L, D)
    return [int(layer.nonzero().max()) + 1 if layer.any() else len(layer) for layer in used]


def concat_unit_layers(tokens: torch.Tensor) -> torch.Tensor:
    """Put layers at unit length side by side, at unit length together: (L, B, P, D) to (B, P, L · D).

    The cosine of two such patches is the mean of their layers' cosines.
    """
    return concat_layers(to_unit_length(tokens)) * float(len(tokens) ** -0.5)


def nearest_euclidean(queries: torch.Tensor, memory: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the nearest of (M, D) to each of (N, D).

    Products alone choose the neighbour; its distance is that of the difference, so near ones are not lost in rounding.

    Returns:
        Distances (N,), and the indices of the nearest in `memory`, (N,) int64.
    """
    mean = memory.mean(dim=0)
    centred = memory - mean
    half_lengths = centred.square().sum(dim=1) / 2
    rows = max(1, MAX_PRODUCTS // len(memory))
    chunks = torch.split(queries - mean, rows)
    indices = torch.cat([torch.addmm(half_lengths, chunk, centred.T, alpha=-1).argmin(1) for chunk in chunks])
    return (queries - memory[indices]).norm(dim=1), indices
