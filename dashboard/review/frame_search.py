"""The search for a frame by part, frame id or time, and why a frame passed that was a defect."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import formatting
from dashboard.components import elements, image_grid, verdict_html
from dashboard.components.image_grid import CaptionedImage
from dashboard.context import PageContext
from dashboard.review import frame_view, review_html
from dashboard.review.frame_view import FrameDetails
from storage.errors import NotFound
from storage.line import verdicts
from storage.line.decision import decide_bin
from storage.line.stations import Station
from storage.line.verdicts import Verdict
from storage.review import labels, search
from storage.rollups import trends

MAX_RESULTS = 24
DAY = timedelta(days=1)
BINS = 400  # frames above a score are counted to about a four-hundredth of the scores' range
FRAME, STATION = "frame", "station"


@dataclass(frozen=True, slots=True)
class FrameQuery:
    """A search at one station.

    `text` is a part or a frame id, searched on `day` before other days; without text, frames around `time_of_day`, or
    those of the day, are searched.
    """

    station: Station
    day: date
    time_of_day: time | None
    text: str


@dataclass(frozen=True, slots=True)
class PassAnalysis:
    """Why a frame passed: `passed_above` other frames of `frames` scored as high and passed; `flagged` are near it.

    Of those above people labelled `defects_above` a defect and `good_above` good.
    """

    flagged: list[Verdict]
    passed_above: int
    frames: int
    defects_above: int = 0
    good_above: int = 0


def query_form(page: PageContext, by_name: dict[str, Station]) -> FrameQuery | None:
    """Draw the search fields and return the query, or None before a station is chosen; the address can name one."""
    names = list(by_name)
    named = st.query_params.get(STATION)
    index = names.index(named) if named in by_name else 0 if len(names) == 1 else None
    today = page.now().astimezone(page.time_zone).date()
    with st.container(horizontal=True, vertical_alignment="bottom", key="find"):
        name = st.selectbox("Station", names, index=index, key="find_station", width=220)
        day = st.date_input("Day", today, key="find_day", max_value=today, width=150)
        time_of_day = st.time_input("Time", None, key="find_time", step=60, width=110)
        text = st.text_input("Part or frame id", key="find_text", placeholder="any", width=260)
    if name is None:
        return None
    return FrameQuery(by_name[name], day, time_of_day, text.strip())


def run_query(page: PageContext, session: Session, query: FrameQuery) -> list[Verdict]:
    """Return the frames that match, newest first."""
    station_id = query.station.id
    since = datetime.combine(query.day, time(), page.time_zone).astimezone(UTC)
    by_id = verdict_by_id(session, query.text)
    if by_id is not None:
        return [by_id]
    if query.text:
        same_day = search.by_part(session, station_id, query.text, since, since + DAY, MAX_RESULTS)
        return same_day or search.by_part(session, station_id, query.text, limit=MAX_RESULTS)
    if query.time_of_day is not None:
        at = datetime.combine(query.day, query.time_of_day, page.time_zone).astimezone(UTC)
        return search.around(session, station_id, at, before=MAX_RESULTS // 2, after=MAX_RESULTS // 2)
    return verdicts.recent(session, station_id, since=since, until=since + DAY, limit=MAX_RESULTS)


def verdict_by_id(session: Session, text: str) -> Verdict | None:
    """Return the verdict of a frame id, or None for a text that is no id of a frame."""
    try:
        return verdicts.get(session, UUID(text))
    except (ValueError, NotFound):
        return None


def nothing_found(query: FrameQuery) -> str:
    """Return that nothing matches a query."""
    day = f"{query.day.day} {query.day:%b %Y}"
    if query.text:
        return f"No frame of part {query.text} was captured at {query.station.name}, on {day} or any other day."
    return f"Nothing was captured at {query.station.name} on {day}."


def results(page: PageContext, frames: list[Verdict], selected: UUID | None) -> None:
    """Draw the frames that were found as thumbnails; a click selects one."""
    now = page.now()
    with st.grid(min_column_width=130, gap="xsmall", key="gallery"):
        for number, frame in enumerate(frames):
            captured = formatting.clock(frame.captured_at, now, page.time_zone)
            caption = verdict_html.thumbnail_caption(frame, now, page.time_zone, selected=selected == frame.frame_id)
            with st.container(key=f"thumb-{number}", gap=None):
                image = CaptionedImage(
                    frame.image_reference, caption, f"Frame captured at {captured}", frame.station_id
                )
                image_grid.captioned_image(page, image, 320, 240)
                st.button(
                    f"Show the frame of {captured}",
                    key=f"found-{frame.frame_id}",
                    on_click=select,
                    args=(frame.frame_id,),
                )


def select(frame_id: UUID) -> None:
    """Select a frame for this visit and in the address."""
    st.session_state[FRAME] = str(frame_id)
    st.query_params[FRAME] = str(frame_id)


def selected_id() -> UUID | None:
    """Return the frame that the address or the visit names, or None."""
    try:
        return UUID(str(st.query_params.get(FRAME) or st.session_state.get(FRAME)))
    except ValueError:
        return None


def analyse_pass(session: Session, frame: Verdict) -> PassAnalysis:
    """Count the frames of the day around a frame that scored as high and passed, too."""
    since, until = frame.captured_at - DAY / 2, frame.captured_at + DAY / 2
    passed_above = 0
    labelled: Counter[str] = Counter()
    if frame.score is not None and frame.threshold is not None:
        labelled = search.labels_of_passed_above(session, frame.station_id, frame.score, since, until)
        own = labels.current(session, [frame.frame_id]).get(frame.frame_id)
        if own is not None and own.decision == "pass":
            labelled[own.label] -= 1  # without the frame itself
        bins = trends.histogram(session, frame.station_id, since, until, BINS)
        counted = sum(
            frames
            for low, high, frames in bins
            if high > frame.score and decide_bin(low, high, frame.threshold) == "pass"
        )
        passed_above = max(0, counted - 1)  # without the frame itself
    return PassAnalysis(
        flagged=search.nearest_flagged(session, frame.station_id, frame.captured_at),
        passed_above=passed_above,
        frames=verdicts.count(session, frame.station_id, since=since, until=until),
        defects_above=labelled["defect"],
        good_above=labelled["false_alarm"],
    )


def explain_pass(page: PageContext, frame: Verdict, analysis: PassAnalysis) -> None:
    """Draw why a frame passed, and the flagged frames nearest to it; nothing for a flagged one."""
    if frame.decision == "flag":
        return
    with st.container(border=True, key="card-why"):
        passed = frame.decision == "pass"
        st.html(elements.heading("Why did this frame pass?" if passed else "Why was this frame not scored?"))
        for sentence in review_html.why_passed(
            frame,
            analysis.passed_above,
            analysis.frames,
            "day",
            defects_above=analysis.defects_above,
            good_above=analysis.good_above,
        ):
            st.markdown(sentence)
        if not analysis.flagged:
            return
        st.html(elements.heading("Flagged frames nearest in time"))
        with st.grid(6, min_column_width=110, gap="xsmall", key="near-flagged"):
            for other in analysis.flagged:
                caption = verdict_html.thumbnail_caption(other, page.now(), page.time_zone)
                with st.container(gap=None):
                    image = CaptionedImage(other.image_reference, caption, "A flagged frame", other.station_id)
                    image_grid.captioned_image(page, image, 320, 240)


def find_details(page: PageContext, session: Session, frame_id: UUID) -> FrameDetails | None:
    """Return everything that is shown of a frame, or None when it has no verdict any more."""
    try:
        return frame_view.load_details(page, session, verdicts.get(session, frame_id))
    except NotFound:
        return None
