"""The choice of a station, which pages share: the address names it, and it stays when the page changes."""

from collections.abc import Iterable

import streamlit as st


def choose_station(names: Iterable[str], *, placeholder: str = "Choose a station", width: int = 240) -> str | None:
    """Draw the choice of a station, of which none is chosen at first.

    Args:
        names: The names of the stations, in their order.
        placeholder: The text while none is chosen, which says what that means.
        width: Width of the field in pixels.

    Returns:
        The name that was chosen or that the address gives; None without a choice.
    """
    return _selectbox(list(names), None, placeholder, width)


def choose_station_or_first(names: Iterable[str], *, width: int = 240, show_label: bool = False) -> str:
    """Draw the choice of a station on a page that always shows one, and return its name; at least one must exist."""
    all_names = list(names)
    first = all_names[0]
    return _selectbox(all_names, 0, first, width, show_label=show_label) or first  # another page may have chosen none


def _selectbox(
    names: list[str], index: int | None, placeholder: str, width: int, *, show_label: bool = False
) -> str | None:
    return st.selectbox(
        "Station",
        names,
        index=index,
        key="station",
        bind="query-params",
        placeholder=placeholder,
        label_visibility="visible" if show_label else "collapsed",
        width=width,
    )
