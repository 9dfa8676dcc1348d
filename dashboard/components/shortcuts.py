"""Keyboard shortcuts that work wherever the focus is, except in a text field, and while the page is redrawn."""

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

from dashboard.theme import ASSETS


@st.cache_resource(show_spinner=False)
def _component() -> ComponentRenderer:
    return st.components.v2.component(
        "andon.shortcuts", html="<span></span>", js=(ASSETS / "shortcuts.js").read_text(encoding="utf-8")
    )


def forward_shortcuts() -> None:
    """Add an invisible component that forwards key presses to Streamlit's shortcuts."""
    with st.container(key="hidden-shortcuts"):
        _component()(key="shortcuts", data={})
