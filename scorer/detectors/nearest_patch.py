"""Nearest patch: how far each patch of a picture lies from the nearest patch of the normals.

The memory bank of PatchCore (Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022), with
cosine distance, without coreset and re-weighting. Whether a patch may look for its neighbour everywhere or only near
its own place is decided by the station's own normals: each is scored against the others (leave one out). Layers are
added after each is divided by the normals' own level in it, so that none outweighs the others (docs/adr/0008).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from einops import rearrange
from torch.nn import functional

from scorer import residuals
from scorer.detectors.patches import Configuration, Judgement, Patches, top_mean
from scorer.neighbours import used_widths

TOP_SHARE = 0.03
"""The image score is the mean of this share of the patches, the farthest ones."""

WINDOW_CELLS = 2
"""In a window a patch looks for its neighbour at most this many cells up, down, left and right of its own place."""

ALIGNED_RATIO = 1.25
"""Normals are aligned when the window raises the mean of their leave-one-out scores at most to this multiple."""

FAINTEST_LEVEL = 1e-4
"""Below this a layer's level is rounding: the normals are copies of each other."""

SHORTEST = 1e-12
"""A patch shorter than that has no direction, and a cosine of 0 to all."""

COSINES_AT_ONCE = 1 << 19
"""So many fit into a core's own cache (2 MiB of float32)."""

SHAPES_KEPT = 64


@dataclass(frozen=True, slots=True)
class Bank:
    """Patches of K normals at unit length, for each layer (rows, K, columns, width), which of them lie in the picture,
    (rows, K, columns), and by what each layer's distances are multiplied, (layers,).

    By row of the grid, so that the few rows that a window reaches lie side by side in memory. For a window there are
    as many rows more at either end as it reaches, in which nothing lies.
    """

    layers: Sequence[torch.Tensor]
    looked_at: torch.Tensor
    shares: torch.Tensor


class NearestPatch:
    """Nearest patch on any backbone with patch tokens."""

    name = "nearest-patch"
    turns = (0,)

    def __init__(self) -> None:
        self.configuration: Configuration = {
            "top_share": TOP_SHARE,
            "window_cells": WINDOW_CELLS,
            "aligned_ratio": ALIGNED_RATIO,
            "faintest_level": FAINTEST_LEVEL,
            "kept": "by row",
        }

    def fit(self, normals: Patches) -> Mapping[str, torch.Tensor]:
        """Keep all patches, and whether the normals are aligned."""
        bank, window = _bank_of(normals), 0
        if normals.pictures > 1:
            bank = replace(bank, shares=_shares(bank))
            free, near = (_left_out_scores(bank, cells).mean() for cells in (0, WINDOW_CELLS))
            window = WINDOW_CELLS if near <= ALIGNED_RATIO * free else 0
        rows = slice(None) if window else slice(WINDOW_CELLS, WINDOW_CELLS + normals.grid[0])
        kept = {f"layer {number}": layer[rows].contiguous() for number, layer in enumerate(bank.layers)}
        kept |= {"looked_at": bank.looked_at[rows].contiguous(), "shares": bank.shares}
        return kept | {"window": torch.tensor(window)}

    def left_out(self, normals: Patches, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """By the rule that all normals together decided on."""
        return _left_out_scores(replace(_bank_of(normals), shares=fitted["shares"]), int(fitted["window"]))

    def judge(self, queries: Patches, fitted: Mapping[str, torch.Tensor]) -> Judgement:
        """The component beside the score itself is the farthest patch."""
        layers = [fitted[f"layer {number}"] for number in range(len(fitted["shares"]))]
        bank = Bank(layers, fitted["looked_at"], fitted["shares"])
        maps = _maps(list(queries.tokens), queries.looked_at, bank, int(fitted["window"]))
        pairs = zip(maps, queries.looked_at, strict=True)
        image = torch.stack([top_mean(values[seen], TOP_SHARE) for values, seen in pairs])
        return Judgement(image, maps, {"farthest patch": maps.amax(dim=1)})


def _bank_of(normals: Patches) -> Bank:
    """With empty rows for a window, and no more channels than a layer uses."""
    tokens, rows = residuals.unit(normals.tokens), normals.grid[0]
    by_row = rearrange(tokens, "l k (r c) w -> l r k c w", r=rows)
    layers = [
        functional.pad(layer[..., :width], (0, 0, 0, 0, 0, 0, WINDOW_CELLS, WINDOW_CELLS))
        for layer, width in zip(by_row, used_widths(tokens), strict=True)
    ]
    looked_at = rearrange(normals.looked_at, "k (r c) -> r k c", r=rows)
    looked_at = functional.pad(looked_at, (0, 0, 0, 0, WINDOW_CELLS, WINDOW_CELLS))
    return Bank(layers, looked_at, torch.ones(len(tokens), device=tokens.device))


def _shares(bank: Bank) -> torch.Tensor:
    """The mean level of all layers by that of each, (layers,): 1 for a single layer."""
    if len(bank.layers) == 1:
        return bank.shares
    alone = [replace(bank, layers=[layer], shares=bank.shares[:1]) for layer in bank.layers]
    levels = torch.stack([torch.cat(_left_out(layer, 0)).mean() for layer in alone])
    levels = levels.clamp(min=FAINTEST_LEVEL)
    return levels.mean() / levels


def _left_out_scores(bank: Bank, window: int) -> torch.Tensor:
    """The score of each normal against all the others, (K,)."""
    return torch.stack([top_mean(distances, TOP_SHARE) for distances in _left_out(bank, window)])


def _left_out(bank: Bank, window: int) -> list[torch.Tensor]:
    """Distances of each normal's patches, those in the picture, to all the other normals; the bank has empty rows."""
    found = []
    normals, grid = bank.looked_at.shape[1], slice(WINDOW_CELLS, -WINDOW_CELLS)
    for place in range(normals):
        others = torch.arange(normals, device=bank.looked_at.device) != place
        rest = replace(bank, layers=[layer[:, others] for layer in bank.layers], looked_at=bank.looked_at[:, others])
        seen = bank.looked_at[grid, place].flatten()
        own = [layer[grid, place].flatten(0, 1)[None] for layer in bank.layers]  # (1, patches, width) each
        found.append(_maps(own, seen[None], rest, window)[0, seen])
    return found


def _maps(tokens: Sequence[torch.Tensor], seen: torch.Tensor, bank: Bank, window: int) -> torch.Tensor:
    """Distance of each patch of B pictures, (B, patches, width) a layer, to its nearest in the bank: (B, patches).

    Tokens may be of any length, and wider than the bank. 0 where a patch is not `seen`, (B, patches): bars are not
    compared. window: at most so many cells away; 0 for anywhere.
    """
    distances = torch.zeros(int(seen.sum()), device=seen.device)
    hidden = torch.zeros(bank.looked_at.shape, device=seen.device).masked_fill_(~bank.looked_at, -math.inf)
    for mine, theirs, share in zip(tokens, bank.layers, bank.shares, strict=True):
        ours = mine[..., : theirs.shape[-1]]
        if window:
            nearest = _nearby(ours, seen, theirs, hidden.flatten(1), window)
            alone = nearest == -math.inf  # beside a bar there may be no neighbour: then one anywhere will do
            if alone.any():
                nearest[alone] = _anywhere(ours[seen][alone], theirs, bank.looked_at)
        else:
            nearest = _anywhere(ours[seen], theirs, bank.looked_at)
        cosines = nearest / mine.norm(dim=-1)[seen].clamp(min=SHORTEST)
        distances += share * 0.5 * (1 - cosines.clamp(max=1))
    maps = torch.zeros(seen.shape, device=seen.device)
    maps[seen] = distances / len(bank.layers)
    return maps


def _anywhere(mine: torch.Tensor, theirs: torch.Tensor, looked_at: torch.Tensor) -> torch.Tensor:
    """The largest product of each of (N, width) with any of (rows, K, columns, width) that is looked at: (N,)."""
    rows = _in_use(looked_at)
    bank, seen = theirs[rows.start : rows.stop], looked_at[rows.start : rows.stop]
    kept = bank.flatten(0, 2) if seen.all() else bank[seen]
    at_once = max(1, residuals.MOST_COSINES // len(kept))
    return torch.cat([(some @ kept.T).amax(dim=1) for some in torch.split(mine, at_once)])


def _nearby(
    mine: torch.Tensor, seen: torch.Tensor, theirs: torch.Tensor, hidden: torch.Tensor, window: int
) -> torch.Tensor:
    """The largest product of each patch of (B, patches, width) that is `seen` with those of the bank near it.

    theirs: (window + rows + window, K, columns, width). hidden: (as many rows, K · columns), −∞ where nothing lies, and
    so the answer where nothing is near. Row by row as in `seen`: (N,).
    """
    columns, per_row, height = theirs.shape[2], hidden.shape[1], 2 * window + 1
    rows = len(theirs) - 2 * window
    ours, bank = rearrange(mine, "b (r c) w -> r (b c) w", r=rows), theirs.flatten(1, 2)
    apart = _apart(columns, window, mine.device)
    nearest = torch.full((rows, len(mine), columns), -math.inf, device=mine.device)
    asked = _in_use(rearrange(seen, "b (r c) -> r b c", r=rows))
    most = max(1, COSINES_AT_ONCE // (ours.shape[1] * height * per_row))
    for first in range(asked.start, asked.stop, most):
        some = ours[first : min(first + most, asked.stop)]
        # A row's band of the bank begins a row after that of the row before, (rows, height · K · c, …), without a copy.
        band = len(some), height * per_row
        near = bank[first:].as_strided((*band, bank.shape[2]), bank.stride()).transpose(1, 2)
        bias = hidden[first:].as_strided((band[0], 1, band[1]), (per_row, 0, 1))
        products = torch.baddbmm(bias, some, near)  # (rows, B · c, n · K · d)
        of_column = products.view(len(some), len(mine), columns, -1, columns).amax(dim=3)  # (rows, B, c, d)
        nearest[first : first + len(some)] = of_column.masked_fill_(apart, -math.inf).amax(dim=3)
    return rearrange(nearest, "r b c -> b (r c)")[seen]


@lru_cache(SHAPES_KEPT)
def _apart(columns: int, window: int, device: torch.device) -> torch.Tensor:
    """Which columns lie too far from one another, (columns, columns)."""
    places = torch.arange(columns, device=device)
    return (places[:, None] - places[None, :]).abs() > window


def _in_use(cells: torch.Tensor) -> range:
    """From the first to the last row of (rows, …, …) that has a cell in the picture."""
    rows = cells.flatten(1).any(dim=1).nonzero().flatten().tolist()
    return range(rows[0], rows[-1] + 1) if rows else range(0)
