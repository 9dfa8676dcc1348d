"""The wall for a screen that everybody sees: no menu, all of the screen, type that is read from five metres.

Each station is a rectangle of the same size, however many there are. Where they are more than fit, pages take turns.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import streamlit as st

from dashboard import formatting
from dashboard.components.elements import Metric
from dashboard.context import PageContext
from dashboard.html import render
from dashboard.wall.order import trouble_first
from dashboard.wall.tile import TileData

KIOSK = "kiosk"
MAX_TILES = 48
PAGE_SHOWN_FOR_S = 10
LANDSCAPE, PORTRAIT = 1.5, 0.45  # width to height of the screen, divided by that of a tile


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns and rows of a page on a screen that is wide, and on one that is tall."""

    columns: int
    rows: int
    tall_columns: int
    tall_rows: int


def is_requested() -> bool:
    """Return whether the address asks for the kiosk."""
    return KIOSK in st.query_params


def layout(tiles: int) -> Layout:
    """Return the layout in which so many tiles fill a screen."""
    columns, tall_columns = (max(1, math.ceil(math.sqrt(tiles * shape) - 1e-9)) for shape in (LANDSCAPE, PORTRAIT))
    return Layout(columns, math.ceil(tiles / columns), tall_columns, math.ceil(tiles / tall_columns))


def page_of(tiles: Sequence[TileData], now: datetime) -> tuple[list[TileData], int, int]:
    """Return the tiles of the page whose turn it is, its number from 1, and how many pages there are.

    The pages are of about the same size; the tiles with trouble are on the first.
    """
    ordered = trouble_first(tiles)
    pages = math.ceil(len(ordered) / MAX_TILES)
    size = math.ceil(len(ordered) / pages)
    number = int(now.timestamp() // PAGE_SHOWN_FOR_S) % pages
    return ordered[number * size : (number + 1) * size], number + 1, pages


def draw_kiosk(page: PageContext, tiles: Sequence[TileData], metrics: Sequence[Metric], now: datetime) -> None:
    """Draw the line's numbers in one line, and the tiles of the page whose turn it is."""
    shown, number, pages = page_of(tiles, now)
    st.html(
        render(
            "wall/kiosk.html",
            "kiosk",
            metrics,
            [(tile, formatting.share(tile.summary.flagged, tile.summary.scored)) for tile in shown],
            layout(len(shown)),
            f"page {number} of {pages}" if pages > 1 else "",
            formatting.clock(now, now, page.time_zone),
        )
    )
