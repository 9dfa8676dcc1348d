"""Nearest patch within a window: the largest cosine of each patch with those of the normals near its own place.

A row of the normals is multiplied with the few rows of the pictures that lie near it, and not the other way round: what
is kept of a station is read once and in order, and it may come from memory that no cache holds. The pictures' rows,
which are read several times, were computed a moment ago.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

import torch
from einops import rearrange
from torch.nn import functional

MAX_PRODUCTS = 1 << 19
"""So many fit into a core's own cache (2 MiB of float32)."""

CACHED_SHAPES = 64

COSINE_OFFSET = -1.0
"""Added to a cosine before it is rounded: a near neighbour's distance then keeps its digits in bf16."""


@dataclass(frozen=True, slots=True)
class GridPatches:
    """Patches of K normals at unit length, (rows, K, columns, width), float32 or bfloat16, a part of the pictures' grid
    that begins at `top` and `left`.

    hidden: where nothing lies, (rows, K, columns) bool; None where there is something everywhere.
    """

    patches: torch.Tensor
    hidden: torch.Tensor | None
    top: int
    left: int


def nearest_in_window(window: int, pictures: torch.Tensor, kept: Sequence[tuple[int, GridPatches]]) -> torch.Tensor:
    """The largest cosine, less one, of each patch of (B, rows, columns, width) at unit length: (B, rows, columns).

    Float32; −∞ where nothing lies near. window: at most so many cells up, down, left and right. kept: how many
    pictures, and what they are compared with; all of the same shape and place, and of the pictures' type.
    """
    parts = []
    first = 0
    for count, alike in groupby(kept, lambda part: part[0]):
        stations = [one for _, one in alike]
        places = slice(first, first := first + count * len(stations))
        by_station = rearrange(pictures[places], "(s b) r c w -> s r b c w", b=count)
        by_station = functional.pad(by_station, (0, 0, 0, 0, 0, 0, window, window))
        parts.append(rearrange(_of_stations(window, by_station, stations), "s r b c -> (s b) r c"))
    whole = parts[0] if len(parts) == 1 else torch.cat(parts)
    return whole[:, window:-window]


def _of_stations(window: int, pictures: torch.Tensor, stations: Sequence[GridPatches]) -> torch.Tensor:
    """(stations, window + rows + window, B, columns, width), B of each, to the largest cosines without the width."""
    nearest = torch.full(pictures.shape[:-1], -math.inf, device=pictures.device)
    rows, normals, columns, _ = stations[0].patches.shape
    of_row = normals * columns * (2 * window + 1) * pictures.shape[2:4].numel()  # products of a row of one station
    for some, of_some in _parts(len(stations), rows, MAX_PRODUCTS // of_row):
        found = _of_rows(window, pictures[some], stations[some], of_some)  # (s, r, up or down, b, c)
        first = stations[0].top + of_some.start
        for reach in range(2 * window + 1):
            near = nearest[some, first + reach : first + reach + found.shape[1]]
            torch.maximum(near, found[:, :, reach], out=near)
    return nearest


def _of_rows(window: int, pictures: torch.Tensor, stations: Sequence[GridPatches], rows: slice) -> torch.Tensor:
    """The largest cosine that some rows of the normals have with each patch of the rows of the pictures near them.

    pictures as `_of_stations`; (stations, rows, window + 1 + window, B, columns).
    """
    _, _, together, columns, width = pictures.shape
    _, normals, theirs, _ = stations[0].patches.shape
    reach, height = 2 * window + 1, rows.stop - rows.start
    first = stations[0].top + rows.start  # the pictures' rows begin `window` above the grid
    kept = torch.stack([one.patches for one in stations])[:, rows] if len(stations) > 1 else stations[0].patches[rows]
    band = (len(stations), height, reach * together * columns, width)
    near = pictures[:, first:].as_strided(band, (pictures.stride(0), together * columns * width, width, 1))
    near = near.flatten(0, 1)
    if near.dtype == torch.bfloat16:  # laid out one after another, or its product takes twice as long
        near = near.contiguous()
    less_one = pictures.new_full((), COSINE_OFFSET)
    products = torch.baddbmm(less_one, kept.reshape(-1, normals * theirs, width), near.transpose(1, 2))
    if any(one.hidden is not None for one in stations):
        products.masked_fill_(_hidden(stations, rows), -math.inf)
    by_normal = products.view(len(stations), height, normals, theirs, reach, together, columns)
    by_column = by_normal.amax(dim=2).float()  # (s, r, theirs, reach, b, c)
    apart = _apart(theirs, stations[0].left, columns, window, pictures.device)
    return by_column.masked_fill_(apart[:, None, None, :], -math.inf).amax(dim=2)


def _hidden(stations: Sequence[GridPatches], rows: slice) -> torch.Tensor:
    """Where nothing lies in some rows of each, one station after another: (stations · rows, K · columns, 1)."""
    hidden = [
        torch.zeros(one.patches.shape[:-1], dtype=torch.bool, device=one.patches.device)
        if one.hidden is None
        else one.hidden
        for one in stations
    ]
    return torch.cat([one[rows].flatten(1) for one in hidden])[:, :, None]


def _parts(stations: int, rows: int, at_once: int) -> Iterator[tuple[slice, slice]]:
    """Stations side by side as long as all of their rows are no more than so many, else rows of one."""
    together = max(1, at_once // rows)
    height = rows if at_once >= rows else max(1, at_once)
    for first in range(0, stations, together):
        for top in range(0, rows, height):
            yield slice(first, min(first + together, stations)), slice(top, min(top + height, rows))


@lru_cache(CACHED_SHAPES)
def _apart(theirs: int, left: int, columns: int, window: int, device: torch.device) -> torch.Tensor:
    """Which columns lie too far from one another, (theirs, columns); theirs begin at `left`."""
    places = torch.arange(columns, device=device)
    return (places[left : left + theirs, None] - places[None, :]).abs() > window
