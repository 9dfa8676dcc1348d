"""The inspection picture: a frame with its anomaly map and its regions, to zoom, and to compare with a good part.

It is made in two steps, so that all of a page can be drawn at once: `prepare` reads and decodes, `draw` sends.
"""

import base64
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

from dashboard import formatting
from dashboard.components import images
from dashboard.components.picture.similar_normals import by_similarity
from dashboard.components.picture.where import points, where
from dashboard.context import PageContext
from dashboard.theme import ASSETS
from storage.areas import masks
from storage.areas.masks import Mask, Polygon
from storage.line.normal_sets import NormalSet
from storage.line.verdicts import Verdict

MAX_WIDTH, MAX_HEIGHT = 1200, 1000
PictureData = dict[str, Any]
"""What the component in the browser takes."""


@st.cache_resource(show_spinner=False)
def _component() -> ComponentRenderer:
    """Register the component; it works in the browser, since a round trip per step would stutter (ADR 0012)."""
    return st.components.v2.component(
        "andon.inspection_picture",
        html=(ASSETS / "inspection_picture.html").read_text(encoding="utf-8"),
        css=(ASSETS / "inspection_picture.css").read_text(encoding="utf-8"),
        js=(ASSETS / "inspection_picture.js").read_text(encoding="utf-8"),
    )


@st.cache_resource(show_spinner=False)
def _next_component() -> ComponentRenderer:
    """Register a component without elements, whose script decodes a picture for the other one."""
    return st.components.v2.component(
        "andon.next_picture",
        html="<span></span>",
        js=(ASSETS / "inspection_picture.js").read_text(encoding="utf-8"),
    )


def prepare(page: PageContext, verdict: Verdict, station: str, normal_set: NormalSet | None) -> PictureData | None:
    """Return everything that is drawn of a frame, or None where its image can't be shown.

    Args:
        page: The page's context.
        verdict: The verdict on the frame.
        station: The name of its station.
        normal_set: The good parts that it was compared with, the most similar of which is shown beside it.
    """
    frame = page.thumbnail(verdict.image_reference, MAX_WIDTH, MAX_HEIGHT, verdict.station_id)
    if frame is None:
        return None
    anomaly_map = page.anomaly_map(verdict.map_reference) if verdict.map_reference else None
    layer = legend = None
    if anomaly_map is not None:
        damping = images.heat_damping(verdict.score, verdict.threshold)
        layer, legend = images.heat_layer(anomaly_map, damping), images.legend_range(anomaly_map, damping)
    normal, mask = _nearest_normal(page, verdict, normal_set), _mask(page, verdict)
    return {
        "frame": str(verdict.frame_id),
        "picture": _data_url("image/jpeg", frame),
        "heat": _data_url("image/png", layer) if layer else None,
        "normal": _data_url("image/jpeg", normal) if normal else None,
        "low": formatting.score(legend[0]) if legend else "",
        "high": formatting.score(legend[1]) if legend else "",
        "description": f"Frame {verdict.frame_id}",
        "where": where(verdict.regions).capitalize(),
        "regions": [{"points": points(region.outline), "box": region.box} for region in verdict.regions or ()],
        "ignored": points_of(mask.ignored),
        "interest": points_of(mask.region_of_interest),
        "link": f"review?{urlencode({'mode': 'Find a frame', 'frame': str(verdict.frame_id)})}",
        "file": f"{station}-{verdict.frame_id}.png",
    }


def draw(data: PictureData | None) -> None:
    """Draw a prepared frame, or that its image can't be shown."""
    if data is None:
        with st.container(key="no-picture"):
            st.warning(
                "The image of this frame is not in the image store, or the store is unavailable.",
                icon=":material/image_not_supported:",
            )
        return
    _component()(key="inspection-picture", data=data)


def draw_ahead(data: PictureData | None) -> None:
    """Send the frame that is probably shown next, without drawing it, so that the browser has decoded it by then."""
    if data is not None:
        with st.container(key="hidden-next-picture"):
            _next_component()(key="next-picture", data={"ahead": data})


def points_of(polygons: Sequence[Polygon]) -> list[str]:
    """Return polygons as SVG takes their points."""
    return [points(polygon) for polygon in polygons]


def _mask(page: PageContext, verdict: Verdict) -> Mask:
    with page.read() as session:
        return masks.mask_of(session, verdict.station_id, verdict.mask_version)


def _nearest_normal(page: PageContext, verdict: Verdict, normal_set: NormalSet | None) -> bytes | None:
    if normal_set is None or not normal_set.images:
        return None
    reference = _nearest_reference(verdict.image_reference, normal_set.id, page, verdict, normal_set)
    return page.thumbnail(reference, MAX_WIDTH, MAX_HEIGHT, verdict.station_id)


@st.cache_resource(max_entries=5000, show_spinner=False)
def _nearest_reference(
    image: str, normal_set_id: int, _page: PageContext, _verdict: Verdict, _normal_set: NormalSet
) -> str:
    """Cache by image and set, which never change: a live page draws its frame again and again."""
    return by_similarity(_page, _verdict, _normal_set)[0].reference


def _data_url(content_type: str, data: bytes) -> str:
    return f"data:{content_type};base64,{base64.b64encode(data).decode('ascii')}"
