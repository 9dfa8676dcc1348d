"""Lets the page's keys be heard wherever the focus is, but in a text field, and while the page is drawn anew."""

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

from dashboard.theme import ASSETS


@st.cache_resource(show_spinner=False)
def _component() -> ComponentRenderer:
    return st.components.v2.component(
        "andon.keys", html="<span></span>", js=(ASSETS / "keys.js").read_text(encoding="utf-8")
    )


def hand_on() -> None:
    """Nothing to see."""
    with st.container(key="unseen-keys"):
        _component()(key="keys", data={})
