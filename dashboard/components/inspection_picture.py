"""The inspection picture: a frame under its anomaly map, with a slider for the map's opacity."""

import base64

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

from dashboard import formatting
from dashboard.components import images
from dashboard.context import PageContext
from dashboard.theme import ASSETS
from storage.line.verdicts import Verdict

MAX_WIDTH, MAX_HEIGHT = 1200, 1000


@st.cache_resource(show_spinner=False)
def _component() -> ComponentRenderer:
    """Register the component; its slider works in the browser, since a round trip per step would stutter (ADR 0012)."""
    return st.components.v2.component(
        "andon.inspection_picture",
        html=(ASSETS / "inspection_picture.html").read_text(encoding="utf-8"),
        css=(ASSETS / "inspection_picture.css").read_text(encoding="utf-8"),
        js=(ASSETS / "inspection_picture.js").read_text(encoding="utf-8"),
    )


def inspection_picture(page: PageContext, verdict: Verdict) -> None:
    """Draw the frame of a verdict under its anomaly map, or why its image can't be shown."""
    frame = page.thumbnail(verdict.image_reference, MAX_WIDTH, MAX_HEIGHT, verdict.station_id)
    if frame is None:
        st.warning(
            "The image of this frame is not in the image store, or the store is unavailable.",
            icon=":material/image_not_supported:",
        )
        return
    anomaly_map = page.anomaly_map(verdict.map_reference) if verdict.map_reference else None
    layer = legend = None
    if anomaly_map is not None:
        damping = images.heat_damping(verdict.score, verdict.threshold)
        layer, legend = images.heat_layer(anomaly_map, damping), images.legend_range(anomaly_map, damping)
    _component()(
        key="inspection-picture",
        data={
            "picture": _data_url("image/jpeg", frame),
            "heat": _data_url("image/png", layer) if layer else None,
            "low": formatting.score(legend[0]) if legend else "",
            "high": formatting.score(legend[1]) if legend else "",
            "description": f"Frame {verdict.frame_id}",
        },
    )


def _data_url(content_type: str, data: bytes) -> str:
    return f"data:{content_type};base64,{base64.b64encode(data).decode('ascii')}"
