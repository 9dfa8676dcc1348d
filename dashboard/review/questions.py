"""The frames that stations ask about: which stations ask, and how an answer moved the limits of a station."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import streamlit as st
from sqlalchemy.orm import Session

from dashboard.components.question_link import ORDER
from dashboard.context import PageContext
from dashboard.review import review_html
from storage.errors import StorageError
from storage.line import thresholds, verdicts
from storage.line.stations import Station
from storage.line.thresholds import Threshold
from storage.review.review_queue import QueueFilter

ANSWERING, ANSWERED = "review_answers_questions", "review_answered"
SHOWN_FOR = timedelta(minutes=30)
POLL_EVERY_S = 2.0
POLL_FOR = timedelta(seconds=15)  # a scorer that runs moves the limits within a second or two


@dataclass(frozen=True, slots=True)
class Answered:
    """The newest thresholds by station id before the person's last answer, and when that was."""

    before: Mapping[int, Threshold]
    at: datetime


def asking(page: PageContext, by_name: Mapping[str, Station], asked: Mapping[int, int], queue: QueueFilter) -> None:
    """Draw that a station asks, with a button that shows its questions; nothing where they are shown already.

    Args:
        page: The page's context.
        by_name: All stations.
        asked: How many frames each station asks about, by its id.
        queue: The frames that the page shows.
    """
    names = {station.id: name for name, station in by_name.items()}
    others = {
        station_id: number
        for station_id, number in asked.items()
        if station_id in names and queue.station_id in (None, station_id)
    }
    if queue.only_questions or not others:
        return
    first = max(others, key=lambda station_id: (others[station_id], -station_id))
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="asking"):
        st.html(review_html.asking(names[first], others[first], len(others) - 1), width="content")
        st.button(
            "Answer",
            key=f"answer-{first}",
            icon=":material/contact_support:",
            on_click=show_questions_of,
            args=(names[first],),
        )


def show_questions_of(name: str) -> None:
    """Switch the page to the questions of a station."""
    st.session_state["order"], st.session_state["station"] = ORDER, name


def enter(queue: QueueFilter | None) -> None:
    """Record whether the labels that follow answer questions; `queue` is what the page shows, None without a queue."""
    st.session_state[ANSWERING] = queue is not None and queue.only_questions


def limits_before(page: PageContext, frame_ids: Sequence[UUID]) -> Answered | None:
    """Return the limits of the frames' stations before an answer; None while the page shows no questions."""
    if not st.session_state.get(ANSWERING):
        return None
    try:
        with page.read() as session:
            station_ids = {verdicts.get(session, frame_id).station_id for frame_id in frame_ids}
            before = {station_id: newest for station_id in station_ids if (newest := _newest(session, station_id))}
    except StorageError:  # the label itself meets it, too, and the page says so
        return None
    return Answered(before, page.now())


def remember(answered: Answered | None) -> None:
    """Remember the limits before an answer that was stored."""
    if answered is not None:
        st.session_state[ANSWERED] = answered


def forget() -> None:
    """Forget the last answer, which was undone."""
    st.session_state.pop(ANSWERED, None)


def draw_change(page: PageContext, names: Mapping[int, str]) -> None:
    """Draw how the limits moved since the last answer; nothing while they have not."""
    lines = changes(page, names)
    if lines:
        st.html(review_html.limits_moved(lines))


def await_change(page: PageContext, names: Mapping[int, str]) -> None:
    """Draw the page again once the limits have moved, or when that took too long."""
    if changes(page, names) or not is_awaited(page):
        st.rerun()


def is_awaited(page: PageContext) -> bool:
    """Return whether the last answer is so recent that a scorer may still move the limits."""
    answered: Answered | None = st.session_state.get(ANSWERED)
    return answered is not None and page.now() - answered.at <= POLL_FOR


def changes(page: PageContext, names: Mapping[int, str]) -> list[str]:
    """Return a sentence for each station whose limits moved since the last answer."""
    answered: Answered | None = st.session_state.get(ANSWERED)
    if answered is None or page.now() - answered.at > SHOWN_FOR:
        return []
    with page.read() as session:
        after = {station_id: _newest(session, station_id) for station_id in answered.before if station_id in names}
    sentences = {
        station_id: review_html.limits_change(answered.before[station_id], newest)
        for station_id, newest in after.items()
        if newest is not None
    }
    return [f"{names[station_id]}: {sentence}" for station_id, sentence in sentences.items() if sentence]


def _newest(session: Session, station_id: int) -> Threshold | None:
    return next(iter(thresholds.history(session, station_id)), None)
