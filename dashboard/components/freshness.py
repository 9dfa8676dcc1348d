"""Freshness of live parts: the browser itself notices that they are not refreshed any more, and says since when."""

from datetime import datetime, tzinfo

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

from dashboard import formatting
from dashboard.theme import ASSETS


@st.cache_resource(show_spinner=False)
def _component() -> ComponentRenderer:
    return st.components.v2.component(
        "andon.freshness", html="<span></span>", js=(ASSETS / "freshness.js").read_text(encoding="utf-8")
    )


def watch_freshness(part: str, every_s: float, drawn_at: datetime, zone: tzinfo) -> None:
    """Add an invisible component to a live part, drawn again with it.

    Args:
        part: The part's name, unique on its page.
        every_s: Seconds between two refreshes.
        drawn_at: The time of this one.
        zone: The time zone in which it is told.
    """
    with st.container(key=f"hidden-freshness-{part}"):
        _component()(
            key=f"freshness-{part}",
            data={
                "part": part,
                "everyMs": round(1000 * every_s),
                "drawing": drawn_at.timestamp(),
                "clock": formatting.clock(drawn_at, drawn_at, zone),
            },
        )
