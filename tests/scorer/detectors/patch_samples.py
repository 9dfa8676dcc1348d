"""Made-up patch tokens for tests of methods that compare patches."""

from collections.abc import Sequence

import torch

from scorer.detectors.patch_based.patches import Patches


def patches(
    count: int,
    grid: tuple[int, int] = (4, 4),
    width: int = 6,
    layers: int = 1,
    seed: int = 0,
    padding: Sequence[int] = (),
    copies: int = 1,
) -> Patches:
    """Return random tokens; the cells in `padding` are masked out in every image and hold huge values."""
    tokens = torch.randn(
        layers, count * copies, grid[0] * grid[1], width, generator=torch.Generator().manual_seed(seed)
    )
    valid_mask = torch.ones(count * copies, grid[0] * grid[1], dtype=torch.bool)
    valid_mask[:, list(padding)] = False
    tokens[:, ~valid_mask] = 1e6
    return Patches(tokens, valid_mask, grid, copies)


def single_layer(tokens: torch.Tensor, grid: tuple[int, int]) -> Patches:
    """Return tokens of one layer, (B, P, W), with every cell valid."""
    return Patches(tokens[None].float(), torch.ones(tokens.shape[:2], dtype=torch.bool), grid)
