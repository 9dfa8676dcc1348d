"""The order of stations on the wall: as people count, s2 before s10; on a screen for all, trouble first."""

import re
from collections.abc import Sequence

from dashboard.station_state import Tone
from dashboard.wall.tile import TileData

URGENCY: Sequence[Tone] = ("bad", "unseen", "warn", "idle", "good")
AFTER_NUMBERS = 10**70  # a name has at most 64 characters


def natural(name: str) -> list[tuple[int, str]]:
    """Return the sorting key of a name, in which digits count as numbers and come before letters."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name.casefold())
    return [(int(part), "") if part.isdecimal() else (AFTER_NUMBERS, part) for part in parts]


def trouble_first(tiles: Sequence[TileData]) -> list[TileData]:
    """Return the tiles with the worst state first, and among equals by name."""
    return sorted(tiles, key=lambda tile: (URGENCY.index(tile.state.tone), natural(tile.station.name)))
