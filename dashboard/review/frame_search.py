"""A frame that somebody asks about: found by part, frame id or time; and why it passed, when it was a defect."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import context, formatting
from dashboard.components import elements
from dashboard.review import frame_view, review_html
from storage.errors import NotFound
from storage.line import search, verdicts
from storage.line.stations import Station
from storage.line.verdicts import Verdict

MOST = 24
DAY = timedelta(days=1)
BINS = 400  # so fine that frames above a score are counted to about a four-hundredth of the scores' range
FRAME, STATION = "frame", "station"


@dataclass(frozen=True, slots=True)
class FrameQuery:
    """What is looked for at this station: a part or a frame by id, on this day before others; else what came then."""

    station: Station
    day: date
    at: time | None
    text: str


@dataclass(frozen=True, slots=True)
class MissAnalysis:
    """Of a frame that passed: flagged ones near it in time; how many others of `frames` scored as much and passed."""

    flagged: list[Verdict]
    passed_above: int
    frames: int


def form(places: dict[str, Station]) -> FrameQuery | None:
    """The fields to search with; None until a station is chosen. The address may say a station."""
    known = list(places)
    named = st.query_params.get(STATION)
    first = known.index(named) if named in places else 0 if len(known) == 1 else None
    today = context.now().astimezone(context.zone()).date()
    with st.container(horizontal=True, vertical_alignment="bottom", key="find"):
        name = st.selectbox("Station", known, index=first, key="find_station", width=220)
        day = st.date_input("Day", today, key="find_day", max_value=today, width=150)
        at = st.time_input("Time", None, key="find_time", step=60, width=110)
        text = st.text_input("Part or frame id", key="find_text", placeholder="any", width=260)
    if name is None:
        return None
    return FrameQuery(places[name], day, at, text.strip())


def found(session: Session, asked: FrameQuery) -> list[Verdict]:
    """What fits, newest first."""
    begins = datetime.combine(asked.day, time(), context.zone()).astimezone(UTC)
    frame = by_id(session, asked.text)
    if frame is not None:
        return [frame]
    if asked.text:
        on_that_day = search.by_part(session, asked.station.id, asked.text, begins, begins + DAY, MOST)
        return on_that_day or search.by_part(session, asked.station.id, asked.text, limit=MOST)
    if asked.at is not None:
        moment = datetime.combine(asked.day, asked.at, context.zone()).astimezone(UTC)
        return search.around(session, asked.station.id, moment, before=MOST // 2, after=MOST // 2)
    return verdicts.recent(session, asked.station.id, since=begins, until=begins + DAY, limit=MOST)


def by_id(session: Session, text: str) -> Verdict | None:
    try:
        return verdicts.get(session, UUID(text))
    except (ValueError, NotFound):
        return None


def none_found(asked: FrameQuery) -> str:
    day = f"{asked.day.day} {asked.day:%b %Y}"
    if asked.text:
        return f"No frame of part {asked.text} was captured at {asked.station.name}, on {day} or any other day."
    return f"Nothing was captured at {asked.station.name} on {day}."


def results(frames: list[Verdict], chosen: UUID | None) -> None:
    """What was found as small pictures; a click chooses one."""
    now, zone = context.now(), context.zone()
    with st.grid(min_column_width=130, gap="xsmall", key="gallery"):
        for number, frame in enumerate(frames):
            with st.container(key=f"thumb-{number}", gap=None):
                if copy := context.small_copy(frame.image_reference, 320, 240):
                    st.image(copy, width="stretch", alt="A frame that fits")
                else:
                    st.html(f'<div class="andon-no-thumb">{elements.icon("image_not_supported")}</div>')
                at = formatting.clock(frame.captured_at, now, zone)
                st.html(elements.thumb(frame, at, chosen == frame.frame_id))
                st.button(
                    f"Show the frame of {at}", key=f"found-{frame.frame_id}", on_click=choose, args=(frame.frame_id,)
                )


def choose(frame_id: UUID) -> None:
    st.session_state[FRAME] = str(frame_id)
    st.query_params[FRAME] = str(frame_id)


def why(session: Session, frame: Verdict) -> MissAnalysis:
    """What it would have cost to catch it, over the day around it."""
    since, until = frame.captured_at - DAY / 2, frame.captured_at + DAY / 2
    bins = verdicts.histogram(session, frame.station_id, since, until, BINS)
    total = verdicts.count(session, frame.station_id, since=since, until=until)
    others = 0
    if frame.score is not None and frame.threshold is not None:
        score, threshold = frame.score, frame.threshold
        passed_above = sum(number for low, high, number in bins if high > score and high <= threshold)
        others = max(0, passed_above - 1)  # without the frame itself
    return MissAnalysis(search.nearest_flagged(session, frame.station_id, frame.captured_at), others, total)


def explain(frame: Verdict, found: MissAnalysis) -> None:
    """Why it was missed, and what was flagged near it."""
    if frame.decision == "flag":
        return
    with st.container(border=True, key="card-why"):
        st.html(elements.heading("Why was this missed?"))
        for sentence in review_html.why_missed(frame, found.passed_above, found.frames, "day"):
            st.markdown(sentence)
        if found.flagged:
            st.html(elements.heading("Flagged nearest to it in time"))
            with st.grid(6, min_column_width=110, gap="xsmall", key="near-flagged"):
                for other in found.flagged:
                    with st.container(gap=None):
                        if copy := context.small_copy(other.image_reference, 320, 240):
                            st.image(copy, width="stretch", alt="A flagged frame")
                        st.html(review_html.result_thumb(other, context.now(), context.zone()))


def looked_up(session: Session, frame_id: UUID) -> frame_view.FrameDetails | None:
    try:
        return frame_view.sight(session, verdicts.get(session, frame_id))
    except NotFound:
        return None
