"""Nearest patch: how far each patch of a picture lies from the nearest patch of the normals.

The memory bank of PatchCore (Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022), with
cosine distance, without coreset and re-weighting. Whether a patch may look for its neighbour everywhere or only near
its own place is decided by the station's own normals: each is scored against the others (leave one out). Layers are
added after each is divided by the normals' own level in it, so that none outweighs the others (docs/adr/0008).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby

import torch
from einops import rearrange
from torch.nn import functional

from scorer import residuals
from scorer.detectors.patches import Configuration, Judgement, Patches, top_mean, top_means
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
        bank, window = _bank_of(normals.exactly()), 0
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
        return self.judge_runs(queries, [(queries.pictures, fitted)])

    def judge_runs(self, queries: Patches, runs: Sequence[tuple[int, Mapping[str, torch.Tensor]]]) -> Judgement:
        """Pictures of several stations, so many of each, one station after another: all but the products at once."""
        maps, first = [], 0
        for (window, _), alike in groupby(runs, lambda run: (int(run[1]["window"]), run[1]["looked_at"].shape[1])):
            parts = [(count, _kept_bank(fitted)) for count, fitted in alike]
            places = slice(first, first := first + sum(count for count, _ in parts))
            maps.append(_maps(queries.tokens[:, places].unbind(), queries.looked_at[places], parts, window))
        whole = maps[0] if len(maps) == 1 else torch.cat(maps)
        image = top_means(whole, queries.looked_at, TOP_SHARE)
        return Judgement(image, whole, {"farthest patch": whole.amax(dim=1)})


def _kept_bank(fitted: Mapping[str, torch.Tensor]) -> Bank:
    layers = [fitted[f"layer {number}"] for number in range(len(fitted["shares"]))]
    return Bank(layers, fitted["looked_at"], fitted["shares"])


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
        found.append(_maps(own, seen[None], [(1, rest)], window)[0, seen])
    return found


Part = tuple[int, Bank]
"""So many pictures, one after another, and what they are compared with."""


def _maps(tokens: Sequence[torch.Tensor], seen: torch.Tensor, parts: Sequence[Part], window: int) -> torch.Tensor:
    """Distance of each patch of B pictures, (B, patches, width) a layer, to its nearest in its bank: (B, patches).

    Tokens may be of any length, and wider than the bank. 0 where a patch is not `seen`, (B, patches): bars are not
    compared. window: at most so many cells away; 0 for anywhere.
    """
    if window:
        asked = _in_use(rearrange(seen, "b (r c) -> r b c", c=parts[0][1].looked_at.shape[2]))
        hidden = [_hidden(bank) for _, bank in parts]
    distances = torch.zeros(seen.shape, device=seen.device)
    for number, mine in enumerate(tokens):
        banks = [(count, bank.layers[number]) for count, bank in parts]
        ours = mine[..., : banks[0][1].shape[-1]]
        if window:
            nearest = _nearby(ours, asked, banks, hidden, window)
            alone = (nearest == -math.inf) & seen  # beside a bar there may be no neighbour: then one anywhere will do
            if alone.any():
                nearest = torch.where(alone, _anywhere(ours, alone, parts, number), nearest)
        else:
            nearest = _anywhere(ours, seen, parts, number)
        cosines = nearest / mine.norm(dim=-1).clamp(min=SHORTEST)
        distances += _share(parts, number) * 0.5 * (1 - cosines.clamp(max=1))
    return distances.div_(len(tokens)).masked_fill_(~seen, 0)


def _share(parts: Sequence[Part], layer: int) -> torch.Tensor:
    """What a layer's distances are multiplied by, for each picture, (B, 1), or for all."""
    if len(parts) == 1:
        return parts[0][1].shares[layer]
    return torch.stack([bank.shares[layer] for count, bank in parts for _ in range(count)])[:, None]


def _hidden(bank: Bank) -> torch.Tensor:
    """−∞ where nothing lies and else 0: (rows, K · columns)."""
    nothing = torch.zeros(bank.looked_at.shape, device=bank.looked_at.device)
    return nothing.masked_fill_(~bank.looked_at, -math.inf).flatten(1)


def _anywhere(mine: torch.Tensor, seen: torch.Tensor, parts: Sequence[Part], layer: int) -> torch.Tensor:
    """The largest product of each patch of (B, patches, width) that is `seen` with any of its bank: (B, patches).

    −∞ where it is not.
    """
    nearest = torch.full(seen.shape, -math.inf, device=seen.device)
    first = 0
    for count, bank in parts:
        places = slice(first, first := first + count)
        rows = _in_use(bank.looked_at)
        theirs, looked_at = bank.layers[layer][rows.start : rows.stop], bank.looked_at[rows.start : rows.stop]
        kept = theirs.flatten(0, 2) if looked_at.all() else theirs[looked_at]
        at_once = max(1, residuals.MOST_COSINES // len(kept))
        asked = torch.split(mine[places][seen[places]], at_once)
        nearest[places][seen[places]] = torch.cat([(some @ kept.T).amax(dim=1) for some in asked])
    return nearest


def _nearby(
    mine: torch.Tensor,
    asked: range,
    banks: Sequence[tuple[int, torch.Tensor]],
    hidden: Sequence[torch.Tensor],
    window: int,
) -> torch.Tensor:
    """The largest product of each patch of (B, patches, width) with those of its bank near it: (B, patches).

    asked: rows of the grid; −∞ in others. banks: how many pictures, and what they are compared with, (window + rows +
    window, K, columns, width). hidden: for each bank as many rows of K · columns, −∞ where nothing lies, and so the
    answer where nothing is near.
    """
    _, kept, columns, _ = banks[0][1].shape
    pictures = rearrange(mine, "b (r c) w -> b r c w", c=columns)
    nearest = torch.full(pictures.shape[:-1], -math.inf, device=mine.device)
    of_row = columns * (2 * window + 1) * kept * columns  # products of one row of one picture
    at_once = max(1, COSINES_AT_ONCE // of_row)  # rows of pictures
    first = 0
    for some in _banks_at_once(banks, hidden, at_once // max(1, len(asked))):
        places = slice(first, first := first + sum(count for count, _, _ in some))
        most = max(1, at_once // (places.stop - places.start))
        for top in range(asked.start, asked.stop, most):
            rows = slice(top, min(top + most, asked.stop))
            nearest[places, rows] = _of_rows(pictures[places, rows], rows, some, window)
    return nearest.flatten(1)


def _of_rows(
    mine: torch.Tensor, rows: slice, banks: Sequence[tuple[int, torch.Tensor, torch.Tensor]], window: int
) -> torch.Tensor:
    """`_nearby` for some rows of (B, rows, columns, width); banks with what is hidden in them: (B, rows, columns)."""
    _, height, columns, _ = mine.shape
    kept = banks[0][1].shape[1]
    products = mine.new_empty(len(mine) * height, columns * (2 * window + 1) * kept * columns)
    first = 0
    for count, bank, bias in banks:
        places = slice(first, first := first + count)
        room = products[places.start * height : first * height].view(height, count * columns, -1)
        ours = rearrange(mine[places], "b r c w -> r (b c) w")
        near = _band(bank.flatten(1, 2), rows, window)
        torch.baddbmm(_band(bias, rows, window)[:, None], ours, near.transpose(1, 2), out=room)
    of_column = products.view(-1, columns, kept * (2 * window + 1), columns).amax(dim=2)  # (…, c, d)
    found = of_column.masked_fill_(_apart(columns, window, mine.device), -math.inf).amax(dim=2)
    by_bank = torch.split(found, [count * height for count, _, _ in banks])
    return torch.cat([rearrange(one, "(r b) c -> b r c", r=height) for one in by_bank])


def _banks_at_once(
    banks: Sequence[tuple[int, torch.Tensor]], hidden: Sequence[torch.Tensor], pictures: int
) -> Iterator[list[tuple[int, torch.Tensor, torch.Tensor]]]:
    """Banks side by side, as many as have no more than so many pictures between them, at least one."""
    some: list[tuple[int, torch.Tensor, torch.Tensor]] = []
    for (count, bank), bias in zip(banks, hidden, strict=True):
        if some and sum(one[0] for one in some) + count > pictures:
            yield some
            some = []
        some.append((count, bank, bias))
    yield some


def _band(rows: torch.Tensor, some: slice, window: int) -> torch.Tensor:
    """What a window around each of some rows reaches, without a copy: a row's band begins one row after the last one's.

    (window + rows + window, K · columns, …) to (some rows, all that the window reaches, …).
    """
    reach = (2 * window + 1) * rows.shape[1]
    return rows[some.start :].as_strided((some.stop - some.start, reach, *rows.shape[2:]), rows.stride())


@lru_cache(SHAPES_KEPT)
def _apart(columns: int, window: int, device: torch.device) -> torch.Tensor:
    """Which columns lie too far from one another, (columns, columns)."""
    places = torch.arange(columns, device=device)
    return (places[:, None] - places[None, :]).abs() > window


def _in_use(cells: torch.Tensor) -> range:
    """From the first to the last row of (rows, …, …) that has a cell in the picture."""
    rows = cells.flatten(1).any(dim=1).nonzero().flatten().tolist()
    return range(rows[0], rows[-1] + 1) if rows else range(0)
