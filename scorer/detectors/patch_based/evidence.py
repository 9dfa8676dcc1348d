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
        nearest = _nearest(tokens.flatten(0, 1), farthest.flatten(), queries.grid, bank, number).view_as(tokens)
        parts += [tokens.mean(dim=1), (tokens - nearest).abs().mean(dim=1)]
    return torch.cat(parts, dim=1)


def _nearest(
    tokens: torch.Tensor, positions: torch.Tensor, grid: tuple[int, int], bank: PatchBank, layer: int
) -> torch.Tensor:
    """Return the patch of the bank that is nearest to each token, (M, D) float32.

    Args:
        tokens: (M, D), at unit length.
        positions: Their cells in the grid, (M,).
        grid: Rows and columns of the grid.
        bank: The bank; within its window, only patches around a token's own position count.
        layer: The layer that the tokens are from.
    """
    if not bank.window:
        return _nearest_of(tokens, bank.layers[layer], bank.valid_mask)
    nearest = torch.empty_like(tokens)
    for number, position in enumerate(positions.tolist()):
        row, column = position // grid[1] - bank.origin[0], position % grid[1] - bank.origin[1]
        rows, columns = _reach(row, bank.window), _reach(column, bank.window)
        patches, valid = bank.layers[layer][rows, :, columns], bank.valid_mask[rows, :, columns]
        if not valid.any():  # only padding nearby: the nearest anywhere counts
            patches, valid = bank.layers[layer], bank.valid_mask
        nearest[number] = _nearest_of(tokens[number : number + 1], patches, valid)[0]
    return nearest


def _nearest_of(tokens: torch.Tensor, patches: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Return the nearest of the valid patches (rows, K, columns, D) for tokens (M, D): (M, D) float32."""
    candidates = patches.flatten(0, 2) if valid.all() else patches[valid]  # (patches, D)
    candidates = candidates.float()  # in bf16 near ties would hang on how many images are in the batch
    return candidates[(tokens @ candidates.T).argmax(dim=1)]


def _reach(centre: int, window: int) -> slice:
    return slice(max(0, centre - window), max(0, centre + window + 1))
