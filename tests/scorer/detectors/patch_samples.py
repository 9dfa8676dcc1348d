"""Patch tokens out of nothing, for tests of methods that compare patches."""

from collections.abc import Sequence

import torch

from scorer.detectors.patch_based.patches import Patches


def patches(
    pictures: int,
    grid: tuple[int, int] = (4, 4),
    width: int = 6,
    layers: int = 1,
    seed: int = 0,
    bars: Sequence[int] = (),
    copies: int = 1,
) -> Patches:
    """Random tokens; the cells named in `bars` are not looked at in any picture and hold nonsense."""
    drawn = torch.randn(
        layers, pictures * copies, grid[0] * grid[1], width, generator=torch.Generator().manual_seed(seed)
    )
    valid_mask = torch.ones(pictures * copies, grid[0] * grid[1], dtype=torch.bool)
    valid_mask[:, list(bars)] = False
    drawn[:, ~valid_mask] = 1e6
    return Patches(drawn, valid_mask, grid, copies)


def of(tokens: torch.Tensor, grid: tuple[int, int]) -> Patches:
    """Pictures of one layer, (B, P, W), all of each looked at."""
    return Patches(tokens[None].float(), torch.ones(tokens.shape[:2], dtype=torch.bool), grid)
