"""A station's tile on the wall: state, last frame, numbers, dropped frames, and recent scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import formatting
from dashboard.alerts import alert_html
from dashboard.charts import scores
from dashboard.components import elements, verdict_html
from dashboard.components.picture.outlined_image import outlined_image
from dashboard.components.question_link import question_link
from dashboard.context import PageContext
from dashboard.html import render
from dashboard.station_state import StationState
from storage.alerts.alerts import Alert
from storage.line.drops import DropTotal
from storage.line.stations import Station
from storage.line.verdicts import Verdict
from storage.rollups.station_summaries import StationSummary

TEMPLATE = "wall/tile.html"
MANY_TIMES_EXPECTED = 5  # a flagged share above this multiple of the false-reject rate is marked


@dataclass(frozen=True, slots=True)
class TileData:
    """The data of a tile.

    `alerts` are the station's unresolved ones, `asked` is how many frames it asks about, and `caught_by_review` how
    many frames passed lately and were labelled a defect. `last_flagged` is the frame that was flagged
    last in the window.
    """

    station: Station
    summary: StationSummary
    state: StationState
    alerts: Sequence[Alert]
    dropped: DropTotal | None
    asked: int = 0
    caught_by_review: int = 0
    last_flagged: Verdict | None = None


def draw_tile(page: PageContext, grid: DeltaGenerator, tile: TileData, now: datetime) -> None:
    """Draw one tile into the grid; a link that covers it opens the station's page."""
    station, summary = tile.station, tile.summary
    window = formatting.duration(60 * page.settings.window_minutes)
    with grid.container(border=True, height="stretch", key=f"tile-{station.id}"):
        st.html(render(TEMPLATE, "head", station, tile.state, alert_html.badge(tile.alerts)))
        with st.container(horizontal=True, key=f"body-{station.id}"):
            with st.container(key=f"picture-{station.id}"):
                last_frame(page, tile, now)
                last_flagged(page, tile, now)
            st.html(numbers(tile, window), width="content")
        if summary.latest is not None and summary.latest.picture_problem is not None:
            st.html(verdict_html.bad_picture(summary.latest.picture_problem))
        if tile.dropped is not None:
            since = formatting.clock(tile.dropped.first_at, now, page.time_zone)
            st.html(render(TEMPLATE, "dropped", tile.dropped.frames, since))
        if tile.asked:
            with st.container(key=f"asks-{station.id}"):
                question_link(page, station, tile.asked)
        if summary.recent_scores:
            latest = summary.latest
            threshold, limit = (latest.threshold, latest.review_limit) if latest else (None, None)
            st.echarts_chart(
                scores.sparkline(summary.recent_scores, threshold, limit, page.palette),
                height=52,
                key=f"sparkline-{station.id}",
                alt=f"The last {len(summary.recent_scores)} scores of {station.name} and its limits",
            )
        else:
            st.html(render(TEMPLATE, "no_scores", window))
        st.page_link(
            page.pages["station"], label=f"Open {station.name}", query_params={"station": station.name}, icon=""
        )


def last_frame(page: PageContext, tile: TileData, now: datetime) -> None:
    """Draw the newest frame with its decision, or the command that brings the first one."""
    name, latest, state = tile.station.name, tile.summary.latest, tile.state
    if state.kind == "no_normal_set":
        command = f"andon normals add {name} FOLDER --activate"
        st.html(elements.placeholder(state.icon, state.explanation, command))
        return
    if latest is None:
        commands = [f"andon produce {name} --source folder:PATH"] if state.kind == "no_frames" else []
        st.html(elements.placeholder(state.icon, state.explanation, *commands))
        return
    if thumbnail := page.thumbnail(latest.image_reference, 640, 480, tile.station.id):
        outlined_image(thumbnail, latest.regions, f"last-{tile.station.id}", f"Last frame of {name}")
    else:
        st.html(elements.placeholder("image_not_supported", "The image can't be loaded."))
    age, age_s = formatting.ago(latest.arrived_at, now), (now - latest.arrived_at).total_seconds()
    st.html(render(TEMPLATE, "image_caption", verdict_html.style(latest), latest.score, age, age_s))


def last_flagged(page: PageContext, tile: TileData, now: datetime) -> None:
    """Draw the frame that was flagged last in a corner, with its defect outlined, unless it is the newest frame."""
    flagged, latest = tile.last_flagged, tile.summary.latest
    if flagged is None or (latest is not None and latest.frame_id == flagged.frame_id):
        return
    if thumbnail := page.thumbnail(flagged.image_reference, 240, 180, tile.station.id):
        name, age = tile.station.name, formatting.ago(flagged.arrived_at, now)
        with st.container(key=f"flagged-{tile.station.id}", gap=None):
            outlined_image(thumbnail, flagged.regions, f"flagged-{tile.station.id}", f"Last flagged frame of {name}")
            st.html(render(TEMPLATE, "last_flagged", age, (now - flagged.arrived_at).total_seconds()))


def numbers(tile: TileData, window: str) -> str:
    """Return the flagged share, marked where it is far above the false-reject rate, and the counts of frames.

    The share is that of the frames with a score; bad pictures have a share of their own, of all frames.
    """
    summary, expected = tile.summary, tile.station.settings.false_reject_rate
    scored = summary.scored
    is_far_above = scored > 0 and summary.flagged / scored > MANY_TIMES_EXPECTED * expected
    flagged, bad = formatting.share(summary.flagged, scored), formatting.share(summary.bad_pictures, summary.frames)
    return render(TEMPLATE, "numbers", summary, flagged, is_far_above, bad, window, tile.caught_by_review)
