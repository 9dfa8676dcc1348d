"""Which frame and which page a person looks at, kept in the address bar and the visit."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import context
from dashboard.station import verdict_pages
from dashboard.station.verdict_pages import PAGE_SIZE, VerdictPage

FRAME, PAGE, FROZEN, WHERE, STEP = "frame", "frames_page", "frames_frozen_at", "frames_of", "frames_step"
TURNS = (
    "frames_turns"  # the pager gets a new name when it is set from here: what the browser still says of it is old then
)
ADDRESS_LAG = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class SelectionChange:
    """A change of the chosen frame; the browser may send the address from before it for a moment."""

    before: str | None
    after: str | None
    at: datetime


def arrive(station: str) -> None:
    """Begin anew when the page shows another station than it did."""
    if st.session_state.get(WHERE) not in (None, station):
        newest()
    st.session_state[WHERE] = station


def newest() -> None:
    """Back to the live list, newest frame first."""
    st.session_state.pop(FROZEN, None)
    _turn_to(1)
    _name(None)


def freeze() -> None:
    """Let the list stand still from now on."""
    st.session_state.setdefault(FROZEN, context.now())


def choose(frame_id: UUID, page: int) -> None:
    """Look at this frame, which is on that page of the list."""
    freeze()
    _turn_to(page)
    _name(str(frame_id))


def turned() -> None:
    """A person chose another page: the list stands still, and its first frame is looked at."""
    chosen = int(st.session_state[pager()])
    if chosen == page():  # a pager that was just put there tells its first value too, and nobody chose that
        return
    freeze()
    st.session_state[PAGE] = chosen
    _name(None)


def resume(session: Session, live: VerdictPage) -> None:
    """Turn to the page of a frame that only the address names, after a reload or by a link someone sent."""
    named = frame_id()
    if named is None or frozen_at() is not None:
        return
    frame = verdict_pages.named(session, live, named)
    if frame is None:
        newest()
        return
    here = verdict_pages.position(session, live, frame)
    choose(frame.frame_id, 1 if here is None else here // PAGE_SIZE + 1)


def frame_id() -> str | None:
    """The chosen frame, as the address says it, unless that is the address from before the last step."""
    named = st.query_params.get(FRAME)
    step: SelectionChange | None = st.session_state.get(STEP)
    if step is not None and named == step.before and context.now() - step.at < ADDRESS_LAG:
        return step.after
    return named


def frozen_at() -> datetime | None:
    frozen: datetime | None = st.session_state.get(FROZEN)
    return frozen


def page() -> int:
    return int(st.session_state.get(PAGE, 1))


def pager() -> str:
    """The name of the widget that pages are turned with."""
    return f"frames_pager_{st.session_state.get(TURNS, 0)}"


def _turn_to(page: int) -> None:
    if page != st.session_state.get(PAGE, 1):
        st.session_state[PAGE] = page
        st.session_state[TURNS] = st.session_state.get(TURNS, 0) + 1


def _name(frame: str | None) -> None:
    st.session_state[STEP] = SelectionChange(st.query_params.get(FRAME), frame, context.now())
    if frame is None:
        st.query_params.pop(FRAME, None)
    else:
        st.query_params[FRAME] = frame
