"""A frame with its anomaly map over it, faded in and out in the browser."""

import base64

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

from dashboard import formatting
from dashboard.theme import ASSETS


@st.cache_resource(show_spinner=False)
def _component() -> ComponentRenderer:
    """The slider moves in the browser alone: a round trip a step would stutter (docs/adr/0012)."""
    return st.components.v2.component(
        "andon.overlay",
        html=(ASSETS / "overlay.html").read_text(encoding="utf-8"),
        css=(ASSETS / "overlay.css").read_text(encoding="utf-8"),
        js=(ASSETS / "overlay.js").read_text(encoding="utf-8"),
    )


def overlay(picture: bytes, heat: bytes | None, legend: tuple[float, float] | None, description: str) -> None:
    """Show `picture` (JPEG) under `heat` (PNG, any size, stretched over it) with a slider and the map's own range."""
    _component()(
        key="overlay",
        data={
            "picture": _url("image/jpeg", picture),
            "heat": _url("image/png", heat) if heat else None,
            "low": formatting.score(legend[0]) if legend else "",
            "high": formatting.score(legend[1]) if legend else "",
            "description": description,
        },
    )


def _url(content_type: str, data: bytes) -> str:
    return f"data:{content_type};base64,{base64.b64encode(data).decode('ascii')}"
