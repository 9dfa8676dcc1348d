"""A greedy coreset: few patch tokens that lie near all the others (PatchCore, arXiv 2106.08265)."""

from math import prod

import torch

from scorer.errors import ModelUnavailable

DEFAULT_CORESET_PATCHES = 4096
PROJECTED_WIDTH = 128
"""Wider tokens are compared after a random projection to this width."""


def require_coreset_size(size: int, grid: tuple[int, int], model: str) -> None:
    """Raise `ModelUnavailable` unless a coreset takes the patches of two normals, so that none owns all of it."""
    if size < (least := 2 * prod(grid)):
        raise ModelUnavailable(
            f"scorer.coreset_patches is {size}; with {model} it must be at least {least}, the patches of two normals."
        )


def greedy_coreset(tokens: torch.Tensor, size: int) -> torch.Tensor:
    """Choose tokens by greedy k-centre: each next one is the token farthest from those chosen.

    The first is the token farthest from the mean, and the projection of wide tokens is seeded, so equal tokens give an
    equal choice.

    Args:
        tokens: (N, D), any floating type.
        size: How many to choose, at most N.

    Returns:
        Indices of the chosen tokens in the order of their choice, (size,) int64.
    """
    points = _project(tokens)
    squared_lengths = points.square().sum(dim=1)
    distances = torch.full_like(squared_lengths, torch.inf)  # of each token to the nearest chosen one, squared
    chosen = torch.empty(size, dtype=torch.long, device=tokens.device)
    farthest = (points - points.mean(dim=0)).square().sum(dim=1).argmax()
    for position in range(size):
        chosen[position] = farthest
        to_newest = squared_lengths + squared_lengths[farthest] - 2 * (points @ points[farthest])
        distances = torch.minimum(distances, to_newest)
        distances[farthest] = -torch.inf
        farthest = distances.argmax()
    return chosen


def _project(tokens: torch.Tensor) -> torch.Tensor:
    """Project (N, D) to at most `PROJECTED_WIDTH` dimensions, float32, which approximately preserves distances."""
    if tokens.shape[1] <= PROJECTED_WIDTH:
        return tokens.float()
    seeded = torch.Generator().manual_seed(0)
    directions = torch.randn(tokens.shape[1], PROJECTED_WIDTH, generator=seeded) / PROJECTED_WIDTH**0.5
    projected: torch.Tensor = tokens.float() @ directions.to(tokens.device)
    return projected
