"""What the farthest patches of an image show, as features for the defect head.

The map of nearest patch says how far a patch is from the normals, but not in which direction. Evidence is the mean over
the farthest patches of their tokens, and of the absolute differences to their nearest patches of the normals.
"""

import torch

from scorer.detectors.patch_based.bank import PatchBank
from scorer.detectors.patch_based.bank_search import MIN_NORM
from scorer.detectors.patch_based.patches import Patches

FARTHEST_PATCHES = 8
"""Patches of an image that evidence is taken from: 3 % of a grid of 16 × 16, as the score."""


def evidence(queries: Patches, maps: torch.Tensor, bank: PatchBank) -> torch.Tensor:
    """Return the evidence of B images against one bank: (B, 2 · Σ D) float32.

    Args:
        queries: The images.
        maps: The distances of their patches to the bank, (B, P), 0 in padding.
        bank: The patches of the normals; an image's own must not be among them.
    """
    farthest = maps.masked_fill(~queries.valid_mask, -1.0).topk(min(FARTHEST_PATCHES, maps.shape[1]), dim=1).indices
    parts = []
    for number, layer in enumerate(bank.layers):
        tokens = queries.tokens[number]  # (B, P, D)
        tokens = tokens.gather(1, farthest[:, :, None].expand(-1, -1, tokens.shape[-1]))  # (B, farthest, D)
        tokens = tokens[..., : layer.shape[-1]] / tokens.norm(dim=-1, keepdim=True).clamp(min=MIN_NORM)
        nearest = torch.stack(
            [
                _nearest(token, position, queries.grid, bank, number)
                for image, positions in zip(tokens, farthest.tolist(), strict=True)
                for token, position in zip(image, positions, strict=True)
            ]
        ).view_as(tokens)
        parts += [tokens.mean(dim=1), (tokens - nearest).abs().mean(dim=1)]
    return torch.cat(parts, dim=1)


def _nearest(token: torch.Tensor, position: int, grid: tuple[int, int], bank: PatchBank, layer: int) -> torch.Tensor:
    """Return the patch of the bank that is nearest to a token (D,), within the bank's window around its position."""
    patches, valid = bank.layers[layer], bank.valid_mask
    if bank.window:
        row, column = (position // grid[1] - bank.origin[0], position % grid[1] - bank.origin[1])
        rows, columns = _reach(row, bank.window), _reach(column, bank.window)
        if valid[rows, :, columns].any():
            patches, valid = patches[rows, :, columns], valid[rows, :, columns]
    candidates = patches[valid].float()  # (M, D)
    return candidates[(candidates @ token).argmax()]


def _reach(centre: int, window: int) -> slice:
    return slice(max(0, centre - window), max(0, centre + window + 1))
