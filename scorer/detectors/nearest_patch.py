"""Nearest patch: how far each patch of a picture lies from the nearest patch of the normals.

The memory bank of PatchCore (Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022), with
cosine distance, without coreset and re-weighting. Whether a patch may look for its neighbour everywhere or only near
its own place is decided by the station's own normals: each is scored against the others (leave one out). Layers are
added after each is divided by the normals' own level in it, so that none outweighs the others (docs/adr/0008).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from einops import rearrange

from scorer import residuals
from scorer.detectors.patches import Configuration, Judgement, Patches, top_mean

TOP_SHARE = 0.03
"""The image score is the mean of this share of the patches, the farthest ones."""

WINDOW_CELLS = 2
"""In a window a patch looks for its neighbour at most this many cells up, down, left and right of its own place."""

ALIGNED_RATIO = 1.25
"""Normals are aligned when the window raises the mean of their leave-one-out scores at most to this multiple."""

FAINTEST_LEVEL = 1e-4
"""Below this a layer's level is rounding: the normals are copies of each other."""

NOWHERE = -2.0
"""Below every cosine: where a patch has no neighbour, and a patch in a bar of a letterbox is nobody's."""

COSINES_AT_ONCE = 1 << 19
"""So many fit into a core's own cache (2 MiB of float32)."""


@dataclass(frozen=True, slots=True)
class Bank:
    """Unit-length patches of K normals, (layers, K, patches, width), which lie in the picture, (K, patches), and by
    what each layer's distances are multiplied, (layers,)."""

    patches: torch.Tensor
    looked_at: torch.Tensor
    shares: torch.Tensor


@dataclass(frozen=True, slots=True)
class Window:
    """Where a patch may look for its neighbour: at most `cells` away in a grid of so many rows and columns."""

    rows: int
    columns: int
    cells: int


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
        }

    def fit(self, normals: Patches) -> Mapping[str, torch.Tensor]:
        """Keep all patches, and whether the normals are aligned."""
        tokens = residuals.unit(normals.tokens)
        bank = Bank(tokens, normals.looked_at, torch.ones(len(tokens), device=tokens.device))
        kept = {"patches": tokens, "looked_at": bank.looked_at, "shares": bank.shares, "window": torch.tensor(0)}
        if normals.pictures < 2:
            return kept
        bank = replace(bank, shares=_shares(bank))
        free = _left_out_scores(bank, None)
        near = _left_out_scores(bank, Window(*normals.grid, WINDOW_CELLS))
        window = WINDOW_CELLS if near.mean() <= ALIGNED_RATIO * free.mean() else 0
        return kept | {"shares": bank.shares, "window": torch.tensor(window)}

    def left_out(self, normals: Patches, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """By the rule that all normals together decided on."""
        return _left_out_scores(_bank(fitted), _window(fitted, normals.grid))

    def judge(self, queries: Patches, fitted: Mapping[str, torch.Tensor]) -> Judgement:
        """The component beside the score itself is the farthest patch."""
        bank, window = _bank(fitted), _window(fitted, queries.grid)
        maps = _maps(residuals.unit(queries.tokens), queries.looked_at, bank, window)
        pairs = zip(maps, queries.looked_at, strict=True)
        image = torch.stack([top_mean(values[seen], TOP_SHARE) for values, seen in pairs])
        return Judgement(image, maps, {"farthest patch": maps.amax(dim=1)})


def _bank(fitted: Mapping[str, torch.Tensor]) -> Bank:
    return Bank(fitted["patches"], fitted["looked_at"], fitted["shares"])


def _window(fitted: Mapping[str, torch.Tensor], grid: tuple[int, int]) -> Window | None:
    cells = int(fitted["window"])
    return Window(*grid, cells) if cells else None


def _shares(bank: Bank) -> torch.Tensor:
    """The mean level of all layers by that of each, (layers,): 1 for a single layer."""
    if len(bank.patches) == 1:
        return bank.shares
    layers = (Bank(one[None], bank.looked_at, bank.shares[:1]) for one in bank.patches)
    levels = torch.stack([torch.cat(_left_out(layer, None)).mean() for layer in layers])
    levels = levels.clamp(min=FAINTEST_LEVEL)
    return levels.mean() / levels


def _left_out_scores(bank: Bank, window: Window | None) -> torch.Tensor:
    """The score of each normal against all the others, (K,)."""
    return torch.stack([top_mean(distances, TOP_SHARE) for distances in _left_out(bank, window)])


def _left_out(bank: Bank, window: Window | None) -> list[torch.Tensor]:
    """Distances of each normal's patches, those in the picture, to all the other normals."""
    found = []
    for place, seen in enumerate(bank.looked_at):
        others = torch.arange(len(bank.looked_at), device=bank.looked_at.device) != place
        rest = Bank(bank.patches[:, others], bank.looked_at[others], bank.shares)
        found.append(_maps(bank.patches[:, place : place + 1], seen[None], rest, window)[0, seen])
    return found


def _maps(tokens: torch.Tensor, seen: torch.Tensor, bank: Bank, window: Window | None) -> torch.Tensor:
    """Distance of each patch of B pictures, (layers, B, patches, width), to its nearest in the bank: (B, patches).

    0 where a patch is not `seen`, (B, patches): bars are not compared.
    """
    distances = torch.zeros(int(seen.sum()), device=tokens.device)
    for mine, theirs, share in zip(tokens, bank.patches, bank.shares, strict=True):
        used = _width_in_use(mine.flatten(0, 1))  # where all of these are zero, products are
        ours, bank_of_layer = mine[..., :used], theirs[..., :used]
        if window is None:
            nearest = _anywhere(ours[seen], bank_of_layer[bank.looked_at])
        else:
            nearest = _nearby(ours, seen, bank_of_layer, bank.looked_at, window)
        distances += share * 0.5 * (1 - nearest.clamp(max=1))
    maps = torch.zeros(seen.shape, device=tokens.device)
    maps[seen] = distances / len(tokens)
    return maps


def _anywhere(mine: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """The largest cosine of each of (N, width) to any of (M, width), some at once: (N,)."""
    at_once = max(1, residuals.MOST_COSINES // len(theirs))
    return torch.cat([(some @ theirs.T).amax(dim=1) for some in torch.split(mine, at_once)])


def _nearby(
    mine: torch.Tensor, seen: torch.Tensor, theirs: torch.Tensor, looked_at: torch.Tensor, window: Window
) -> torch.Tensor:
    """The largest cosine of each patch of (B, patches, width) that is `seen` to those of (K, patches, width) near it.

    Each row of cells is compared with the few rows that its windows reach; rows that lie in bars are left out. Beside a
    bar there may be no neighbour: then one anywhere will do. Row by row as in `seen`: (N,).
    """
    rows, of_bank = _rows_in_use(seen, window), _rows_in_use(looked_at, window)
    by_row = rearrange(mine, "b (r c) w -> r b c w", r=window.rows)[rows.start : rows.stop]
    ours = by_row.flatten(1, 2)  # (rows, B · c, width)
    reached = range(rows.start - window.cells, rows.stop + window.cells)
    bank, unseen = _bank_rows(theirs, looked_at, window, reached, of_bank)
    columns = torch.arange(window.columns, device=mine.device)
    apart = (columns[:, None] - columns[None, :]).abs() > window.cells  # (c, c)
    nearest = torch.full((window.rows, len(mine), window.columns), NOWHERE, device=mine.device)
    reach, per_row = 2 * window.cells + 1, bank.shape[1]
    at_once = max(1, COSINES_AT_ONCE // (ours.shape[1] * reach * per_row))
    for first in range(0, len(rows), at_once):
        some = ours[first : first + at_once]
        # Bands of rows overlap: one begins a row after the one before, (rows, reach · K · c, width), without a copy.
        bands = bank[first:].as_strided((len(some), reach * per_row, bank.shape[2]), bank.stride())
        hidden = unseen[first:].as_strided((len(some), 1, reach * per_row), (per_row, 0, 1))
        cosines = torch.baddbmm(hidden, some, bands.transpose(1, 2))
        of_column = cosines.view(len(some), len(mine), window.columns, -1, window.columns).amax(dim=3)  # (r, B, c, d)
        at = rows.start + first
        nearest[at : at + len(some)] = of_column.masked_fill_(apart, NOWHERE).amax(dim=3)
    found = rearrange(nearest, "r b c -> b (r c)")[seen]
    alone = found <= NOWHERE
    if alone.any():
        found[alone] = _anywhere(mine[seen][alone], theirs[looked_at])
    return found


def _bank_rows(
    theirs: torch.Tensor, looked_at: torch.Tensor, window: Window, reached: range, in_use: range
) -> tuple[torch.Tensor, torch.Tensor]:
    """The `reached` rows of the bank, (rows, K · c, width), and what is added to a cosine there, (rows, K · c).

    Rows outside of the grid or not `in_use`, and patches in bars, have a cosine that no patch has.
    """
    normals, _, width = theirs.shape
    bank = theirs.new_zeros(len(reached), normals * window.columns, width)
    unseen = theirs.new_full((len(reached), normals * window.columns), NOWHERE - 1)
    first, after = max(reached.start, in_use.start), min(reached.stop, in_use.stop)
    if first < after:
        there = slice(first - reached.start, after - reached.start)
        by_row = rearrange(theirs, "k (r c) w -> r k c w", r=window.rows)[first:after]
        bank[there].view(by_row.shape).copy_(by_row)
        hidden = rearrange(looked_at, "k (r c) -> r (k c)", r=window.rows)[first:after]
        unseen[there] = torch.where(hidden, 0.0, NOWHERE - 1)
    return bank, unseen


def _rows_in_use(cells: torch.Tensor, window: Window) -> range:
    """From the first to the last row of the grid that has a cell, in any picture of (B, patches), in the picture."""
    in_use = rearrange(cells, "b (r c) -> r (b c)", r=window.rows).any(dim=1).nonzero().flatten().tolist()
    return range(in_use[0], in_use[-1] + 1) if in_use else range(0)


def _width_in_use(tokens: torch.Tensor) -> int:
    """Columns up to the last that is not all zeros: a layer narrower than the widest is filled up with them."""
    used = torch.nonzero((tokens.amax(dim=0) > 0) | (tokens.amin(dim=0) < 0))
    return int(used[-1]) + 1 if len(used) else tokens.shape[1]
