"""Nearest patch: how far each patch of a picture lies from the nearest patch of the normals.

The memory bank of PatchCore (Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022), with
cosine distance, without coreset and re-weighting. Whether a patch may look for its neighbour everywhere or only near
its own place is decided by the station's own normals: each is scored against the others (leave one out). Layers are
added after each is divided by the normals' own level in it, so that none outweighs the others (docs/adr/0008).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from einops import rearrange

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


@dataclass(frozen=True, slots=True)
class Bank:
    """Patches of K normals at unit length, (layers, rows, K, columns, width), which of them lie in the picture,
    (rows, K, columns), by what each layer's distances are multiplied, (layers,), and how many channels each uses.

    By row of the grid, so that the few rows that a window reaches lie side by side in memory.
    """

    patches: torch.Tensor
    looked_at: torch.Tensor
    shares: torch.Tensor
    widths: Sequence[int]


@dataclass(frozen=True, slots=True)
class Bands:
    """`count` rows of queries from `first` on; each is compared with `height` rows of the bank, the first one with
    those from `start` on, the next with those from one further."""

    first: int
    count: int
    start: int
    height: int


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
        tokens, rows = residuals.unit(normals.tokens), normals.grid[0]
        patches = rearrange(tokens, "l k (r c) w -> l r k c w", r=rows).contiguous()
        looked_at = rearrange(normals.looked_at, "k (r c) -> r k c", r=rows).contiguous()
        bank = Bank(patches, looked_at, torch.ones(len(tokens), device=tokens.device), used_widths(tokens))
        window = 0
        if normals.pictures > 1:
            bank = replace(bank, shares=_shares(bank))
            free, near = (_left_out_scores(bank, cells).mean() for cells in (0, WINDOW_CELLS))
            window = WINDOW_CELLS if near <= ALIGNED_RATIO * free else 0
        kept = {"patches": patches, "looked_at": looked_at, "shares": bank.shares}
        return kept | {"widths": torch.tensor(bank.widths), "window": torch.tensor(window)}

    def left_out(self, normals: Patches, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """By the rule that all normals together decided on."""
        return _left_out_scores(_bank(fitted), int(fitted["window"]))

    def judge(self, queries: Patches, fitted: Mapping[str, torch.Tensor]) -> Judgement:
        """The component beside the score itself is the farthest patch."""
        maps = _maps(queries.tokens, queries.looked_at, _bank(fitted), int(fitted["window"]))
        pairs = zip(maps, queries.looked_at, strict=True)
        image = torch.stack([top_mean(values[seen], TOP_SHARE) for values, seen in pairs])
        return Judgement(image, maps, {"farthest patch": maps.amax(dim=1)})


def _bank(fitted: Mapping[str, torch.Tensor]) -> Bank:
    return Bank(fitted["patches"], fitted["looked_at"], fitted["shares"], fitted["widths"].tolist())


def _shares(bank: Bank) -> torch.Tensor:
    """The mean level of all layers by that of each, (layers,): 1 for a single layer."""
    if len(bank.patches) == 1:
        return bank.shares
    layers = (
        Bank(one[None], bank.looked_at, bank.shares[:1], [width])
        for one, width in zip(bank.patches, bank.widths, strict=True)
    )
    levels = torch.stack([torch.cat(_left_out(layer, 0)).mean() for layer in layers])
    levels = levels.clamp(min=FAINTEST_LEVEL)
    return levels.mean() / levels


def _left_out_scores(bank: Bank, window: int) -> torch.Tensor:
    """The score of each normal against all the others, (K,)."""
    return torch.stack([top_mean(distances, TOP_SHARE) for distances in _left_out(bank, window)])


def _left_out(bank: Bank, window: int) -> list[torch.Tensor]:
    """Distances of each normal's patches, those in the picture, to all the other normals."""
    found = []
    normals = bank.looked_at.shape[1]
    for place in range(normals):
        others = torch.arange(normals, device=bank.looked_at.device) != place
        rest = replace(bank, patches=bank.patches[:, :, others], looked_at=bank.looked_at[:, others])
        seen = bank.looked_at[:, place].flatten()
        own = rearrange(bank.patches[:, :, place], "l r c w -> l 1 (r c) w")
        found.append(_maps(own, seen[None], rest, window)[0, seen])
    return found


def _maps(tokens: torch.Tensor, seen: torch.Tensor, bank: Bank, window: int) -> torch.Tensor:
    """Distance of each patch of B pictures, (layers, B, patches, width), to its nearest in the bank: (B, patches).

    Tokens may be of any length. 0 where a patch is not `seen`, (B, patches): bars are not compared. window: at most
    so many cells away; 0 for anywhere.
    """
    distances = torch.zeros(int(seen.sum()), device=tokens.device)
    for mine, theirs, share, width in zip(tokens, bank.patches, bank.shares, bank.widths, strict=True):
        ours, bank_of_layer = mine[..., :width], theirs[..., :width]
        if window:
            nearest = _nearby(ours, seen, bank_of_layer, bank.looked_at, window)
        else:
            nearest = _anywhere(ours[seen], bank_of_layer, bank.looked_at)
        # All of a token counts, where normals have nothing too.
        cosines = nearest / mine.norm(dim=-1)[seen].clamp(min=SHORTEST)
        distances += share * 0.5 * (1 - cosines.clamp(max=1))
    maps = torch.zeros(seen.shape, device=tokens.device)
    maps[seen] = distances / len(tokens)
    return maps


def _anywhere(mine: torch.Tensor, theirs: torch.Tensor, looked_at: torch.Tensor) -> torch.Tensor:
    """The largest product of each of (N, width) with any of (rows, K, columns, width) that is looked at: (N,)."""
    rows = _in_use(looked_at)
    bank, seen = theirs[rows.start : rows.stop], looked_at[rows.start : rows.stop]
    kept = bank.flatten(0, 2) if seen.all() else bank[seen]
    at_once = max(1, residuals.MOST_COSINES // len(kept))
    return torch.cat([(some @ kept.T).amax(dim=1) for some in torch.split(mine, at_once)])


def _nearby(
    mine: torch.Tensor, seen: torch.Tensor, theirs: torch.Tensor, looked_at: torch.Tensor, window: int
) -> torch.Tensor:
    """The largest product of each patch of (B, patches, width) that is `seen` with those of the bank near it.

    theirs: (rows, K, columns, width). Beside a bar there may be no neighbour: then one anywhere will do. Row by row as
    in `seen`: (N,).
    """
    rows, normals, columns, _ = theirs.shape
    ours = rearrange(mine, "b (r c) w -> r (b c) w", r=rows)
    unseen = torch.zeros(looked_at.shape, device=mine.device).masked_fill_(~looked_at, -math.inf).flatten(1)
    places = torch.arange(columns, device=mine.device)
    apart = (places[:, None] - places[None, :]).abs() > window  # (c, c)
    nearest = torch.full((rows, len(mine), columns), -math.inf, device=mine.device)
    most = max(1, COSINES_AT_ONCE // (ours.shape[1] * (2 * window + 1) * normals * columns))
    asked = _in_use(rearrange(seen, "b (r c) -> r b c", r=rows))
    for bands in _bands(asked, _in_use(looked_at), window, most):
        some = slice(bands.first, bands.first + bands.count)
        products = _products(ours[some], theirs.flatten(1, 2), unseen, bands)  # (rows, B · c, n · K · d)
        of_column = products.view(bands.count, len(mine), columns, -1, columns).amax(dim=3)  # (rows, B, c, d)
        nearest[some] = of_column.masked_fill_(apart, -math.inf).amax(dim=3)
    found = rearrange(nearest, "r b c -> b (r c)")[seen]
    alone = found == -math.inf
    if alone.any():
        found[alone] = _anywhere(mine[seen][alone], theirs, looked_at)
    return found


def _products(ours: torch.Tensor, bank: torch.Tensor, unseen: torch.Tensor, bands: Bands) -> torch.Tensor:
    """Of rows of queries, (rows, N, width), with each one's band of the bank's: (rows, N, height · M).

    bank: (rows, M, width). unseen: (rows, M), −∞ for patches in bars. Bands overlap, and are no copies.
    """
    patches, width = bands.height * bank.shape[1], bank.shape[2]
    theirs = bank[bands.start :].as_strided((bands.count, patches, width), bank.stride()).transpose(1, 2)
    hidden = unseen[bands.start :].as_strided((bands.count, 1, patches), (unseen.stride(0), 0, 1))
    return torch.baddbmm(hidden, ours, theirs)


def _bands(asked: range, in_use: range, window: int, most: int) -> Iterator[Bands]:
    """Rows that are asked for, at most so many at once, with the rows in use that their windows reach."""
    found: Bands | None = None
    for row in asked:
        start = max(in_use.start, row - window)
        height = min(in_use.stop, row + window + 1) - start
        if height <= 0:
            continue
        if found is not None and _goes_on(found, row, start, height) and found.count < most:
            found = replace(found, count=found.count + 1)
            continue
        if found is not None:
            yield found
        found = Bands(row, 1, start, height)
    if found is not None:
        yield found


def _goes_on(bands: Bands, row: int, start: int, height: int) -> bool:
    following = bands.first + bands.count, bands.start + bands.count, bands.height
    return (row, start, height) == following


def _in_use(cells: torch.Tensor) -> range:
    """From the first to the last row of (rows, …, …) that has a cell in the picture."""
    rows = cells.flatten(1).any(dim=1).nonzero().flatten().tolist()
    return range(rows[0], rows[-1] + 1) if rows else range(0)
