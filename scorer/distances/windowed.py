"""The nearest patch within a window: cosines of patches with the normals' patches near their own position.

A row of the normals is multiplied with the few rows of the images that lie near it, and not the other way round: what
is stored of a station is read once and in order, and may come from memory that no cache holds. The images' rows, which
are read several times, were computed a moment ago.
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
"""Most products computed at once: they fit into a core's own cache (2 MiB of float32)."""

CACHED_SHAPES = 64

COSINE_OFFSET = -1.0
"""Added to a cosine before it is rounded: a near neighbour's distance then keeps its digits in bf16."""


@dataclass(frozen=True, slots=True)
class GridPatches:
    """Patches of K normals at unit length, a part of the images' grid that begins at row `top` and column `left`.

    Attributes:
        patches: (rows, K, columns, D), float32 or bfloat16.
        hidden: Which of them are padding, (rows, K, columns) bool; None where none is.
        top: First row in the images' grid.
        left: First column in the images' grid.
    """

    patches: torch.Tensor
    hidden: torch.Tensor | None
    top: int
    left: int


def nearest_in_window(window: int, images: torch.Tensor, banks: Sequence[tuple[int, GridPatches]]) -> torch.Tensor:
    """Return the largest cosine, less one, of each patch with its station's patches in the window around it.

    Args:
        window: Cells that the window reaches up, down, left and right, at least 1.
        images: (B, rows, columns, D) at unit length, station by station.
        banks: For each station the number of its images and its normals' patches; all banks have one shape and
            position, and the images' type.

    Returns:
        (B, rows, columns) float32; −∞ where the window holds padding alone.
    """
    parts = []
    first = 0
    for count, alike in groupby(banks, lambda group: group[0]):
        stations = [bank for _, bank in alike]
        positions = slice(first, first := first + count * len(stations))
        by_station = rearrange(images[positions], "(s b) r c d -> s r b c d", b=count)
        by_station = functional.pad(by_station, (0, 0, 0, 0, 0, 0, window, window))  # (s, window + r + window, b, c, d)
        parts.append(rearrange(_nearest_of_stations(window, by_station, stations), "s r b c -> (s b) r c"))
    nearest = parts[0] if len(parts) == 1 else torch.cat(parts)
    return nearest[:, window:-window]


def _nearest_of_stations(window: int, images: torch.Tensor, stations: Sequence[GridPatches]) -> torch.Tensor:
    """Reduce (S, window + rows + window, B, columns, D), B images of each station, to the largest cosines."""
    nearest = torch.full(images.shape[:-1], -math.inf, device=images.device)
    rows, normals, columns, _ = stations[0].patches.shape
    row_products = normals * columns * (2 * window + 1) * images.shape[2:4].numel()  # of one row of one station
    for station_chunk, row_chunk in _chunks(len(stations), rows, MAX_PRODUCTS // row_products):
        cosines = _nearest_of_rows(window, images[station_chunk], stations[station_chunk], row_chunk)
        first = stations[0].top + row_chunk.start
        for offset in range(2 * window + 1):  # an image's row is near 2 · window + 1 rows of the bank
            reached = nearest[station_chunk, first + offset : first + offset + cosines.shape[1]]
            torch.maximum(reached, cosines[:, :, offset], out=reached)
    return nearest


def _nearest_of_rows(window: int, images: torch.Tensor, stations: Sequence[GridPatches], rows: slice) -> torch.Tensor:
    """Return the largest cosine of some rows of the banks with each patch of the images' rows near them.

    images: as `_nearest_of_stations` takes them. Returns (S, rows, 2 · window + 1, B, columns).
    """
    _, _, batch, columns, width = images.shape
    _, normals, bank_columns, _ = stations[0].patches.shape
    reach, height = 2 * window + 1, rows.stop - rows.start
    first = stations[0].top + rows.start  # the images' rows begin `window` above the grid
    if len(stations) > 1:
        patches = torch.stack([bank.patches for bank in stations])[:, rows]
    else:
        patches = stations[0].patches[rows]
    # Overlapping views: for each row of the banks the `reach` rows of the images around it, without a copy.
    band = (len(stations), height, reach * batch * columns, width)
    image_rows = images[:, first:].as_strided(band, (images.stride(0), batch * columns * width, width, 1))
    image_rows = image_rows.flatten(0, 1)  # (S · rows, reach · B · columns, D)
    if image_rows.dtype == torch.bfloat16:  # bfloat16 products of strided views take twice as long
        image_rows = image_rows.contiguous()
    offset = images.new_full((), COSINE_OFFSET)
    products = torch.baddbmm(offset, patches.reshape(-1, normals * bank_columns, width), image_rows.transpose(1, 2))
    if any(bank.hidden is not None for bank in stations):
        products.masked_fill_(_hidden_rows(stations, rows), -math.inf)
    by_normal = products.view(len(stations), height, normals, bank_columns, reach, batch, columns)
    by_column = by_normal.amax(dim=2).float()  # (S, rows, bank columns, reach, B, columns)
    distant = _distant_columns(bank_columns, stations[0].left, columns, window, images.device)
    return by_column.masked_fill_(distant[:, None, None, :], -math.inf).amax(dim=2)


def _hidden_rows(stations: Sequence[GridPatches], rows: slice) -> torch.Tensor:
    """Return which patches of some rows are padding, station by station: (S · rows, K · columns, 1)."""
    hidden = [
        torch.zeros(bank.patches.shape[:-1], dtype=torch.bool, device=bank.patches.device)
        if bank.hidden is None
        else bank.hidden
        for bank in stations
    ]
    return torch.cat([mask[rows].flatten(1) for mask in hidden])[:, :, None]


def _chunks(stations: int, rows: int, max_rows: int) -> Iterator[tuple[slice, slice]]:
    """Yield slices of stations and rows of at most `max_rows` rows: whole stations together, else rows of one."""
    together = max(1, max_rows // rows)
    height = rows if max_rows >= rows else max(1, max_rows)
    for first in range(0, stations, together):
        for top in range(0, rows, height):
            yield slice(first, min(first + together, stations)), slice(top, min(top + height, rows))


@lru_cache(CACHED_SHAPES)
def _distant_columns(bank_columns: int, left: int, columns: int, window: int, device: torch.device) -> torch.Tensor:
    """Return which columns lie outside each other's window, (bank columns, columns); the bank's begin at `left`."""
    indices = torch.arange(columns, device=device)
    return (indices[left : left + bank_columns, None] - indices[None, :]).abs() > window
