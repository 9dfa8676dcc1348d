"""Distances of patches to their nearest patch in a bank, for batches that mix stations with a bank each.

All that can be done for a whole batch is done at once; only the products differ from station to station, and those of
stations with one number of images are multiplied together too.
"""

import math
from collections.abc import Sequence
from itertools import groupby

import torch
from einops import rearrange

from scorer.detectors.patch_based.bank import PatchBank
from scorer.detectors.patch_based.patches import Patches
from scorer.distances.cosine import MAX_COSINES
from scorer.distances.windowed import COSINE_OFFSET, GridPatches, nearest_in_window

MIN_NORM = 1e-12
"""A shorter patch has no direction, and a cosine of 0 with all."""

BankGroup = tuple[int, PatchBank]
"""The number of images of one station, side by side in the batch, and the bank they are compared with."""


def distance_maps(queries: Patches, groups: Sequence[BankGroup]) -> torch.Tensor:
    """Return the distance of each patch of B images to its nearest in its station's bank, (B, P), 0 in padding.

    queries: images station by station, in the order of `groups`.
    """
    maps, first = [], 0
    for _, alike in groupby(groups, lambda group: _search_shape(group[1])):
        together = list(alike)
        images = slice(first, first := first + sum(count for count, _ in together))
        maps.append(nearest_distances(queries.tokens[:, images], queries.valid_mask[images], queries.grid, together))
    return maps[0] if len(maps) == 1 else torch.cat(maps)


def nearest_distances(
    tokens: Sequence[torch.Tensor] | torch.Tensor,
    valid_mask: torch.Tensor,
    grid: tuple[int, int],
    groups: Sequence[BankGroup],
) -> torch.Tensor:
    """Return the weighted mean over layers of ½ (1 − cos) to the nearest patch of the bank: (B, P).

    Args:
        tokens: For each layer (B, P, D), of any length, D as wide as the bank or wider.
        valid_mask: (B, P); the others are not compared and have the distance 0.
        grid: Rows and columns of the patches.
        groups: Banks of one window, shape and origin.
    """
    padding = _padding([bank for _, bank in groups])
    weights = _layer_weights(groups)
    first_bank = groups[0][1]
    distances = torch.zeros(valid_mask.shape, device=valid_mask.device)
    for number, layer in enumerate(tokens):
        banks = [
            (count, GridPatches(bank.layers[number], hidden, *bank.origin))
            for (count, bank), hidden in zip(groups, padding, strict=True)
        ]
        bank_layer = first_bank.layers[number]
        norms = layer.norm(dim=-1, keepdim=True).clamp_(min=MIN_NORM)
        queries = (layer[..., : bank_layer.shape[-1]] / norms).to(bank_layer.dtype)  # (B, P, D)
        if first_bank.window:
            by_row = rearrange(queries, "b (r c) d -> b r c d", r=grid[0])
            nearest = nearest_in_window(first_bank.window, by_row, banks).flatten(1)
            isolated = (nearest == -math.inf) & valid_mask  # only padding nearby: the nearest anywhere counts
            if isolated.any():
                nearest = torch.where(isolated, _nearest_anywhere(queries, isolated, banks), nearest)
        else:
            nearest = _nearest_anywhere(queries, valid_mask, banks)
        distances -= weights[number] * 0.5 * nearest.clamp(max=0)
    return distances.div_(len(tokens)).masked_fill_(~valid_mask, 0)


def _search_shape(bank: PatchBank) -> tuple[int, torch.Size, tuple[int, int]]:
    """Return the properties that banks must share to be searched together."""
    return bank.window, bank.valid_mask.shape, bank.origin


def _padding(banks: Sequence[PatchBank]) -> Sequence[torch.Tensor | None]:
    """Return where each bank has only padding, as `GridPatches.hidden` takes it."""
    valid_mask = torch.stack([bank.valid_mask for bank in banks])
    return [None] * len(banks) if valid_mask.all() else (~valid_mask).unbind()


def _layer_weights(groups: Sequence[BankGroup]) -> torch.Tensor:
    """Return the layer weights of each image, (L, B, 1), or of all together where there is one bank, (L, 1, 1)."""
    weights = [bank.layer_weights for count, bank in groups for _ in range(count if len(groups) > 1 else 1)]
    return torch.stack(weights, dim=1)[:, :, None]


def _nearest_anywhere(
    queries: torch.Tensor, valid_mask: torch.Tensor, banks: Sequence[tuple[int, GridPatches]]
) -> torch.Tensor:
    """Return the largest cosine, less one, of each valid patch of (B, P, D) in its bank: (B, P) float32.

    It is −∞ where a patch is not valid.
    """
    nearest = torch.full(valid_mask.shape, -math.inf, device=valid_mask.device)
    offset = queries.new_full((), COSINE_OFFSET)
    first = 0
    for count, bank in banks:
        images = slice(first, first := first + count)
        patches = bank.patches.flatten(0, 2) if bank.hidden is None else bank.patches[~bank.hidden]  # (M, D)
        chunk_rows = max(1, MAX_COSINES // len(patches))
        chunks = torch.split(queries[images][valid_mask[images]], chunk_rows)
        cosines = [torch.addmm(offset, chunk, patches.T).amax(dim=1) for chunk in chunks]
        nearest[images][valid_mask[images]] = torch.cat(cosines).float()
    return nearest
