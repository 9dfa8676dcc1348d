"""The page and the frame that a person views, stored in the address and the session."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import context
from dashboard.station import verdict_pages
from dashboard.station.verdict_pages import VerdictPage

FRAME = "frame"
PAGE, FROZEN_AT, STATION, SELECTION = "frames_page", "frames_frozen_at", "frames_station", "frames_selection"
PAGER_VERSION = "frames_pager_version"
ADDRESS_DELAY = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class SelectionChange:
    """A change of the selected frame; for a moment the browser may still send the address from before it."""

    before: str | None
    after: str | None
    at: datetime


def enter_station(name: str) -> None:
    """Return to the live list when the page shows another station than before."""
    if st.session_state.get(STATION) not in (None, name):
        resume_live()
    st.session_state[STATION] = name


def resume_live() -> None:
    """Return to the live list and its newest frame."""
    st.session_state.pop(FROZEN_AT, None)
    _set_page(1)
    _select(None)


def freeze() -> None:
    """Stop the list from changing, unless it is frozen already."""
    st.session_state.setdefault(FROZEN_AT, context.now())


def select_frame(frame_id: UUID, page: int) -> None:
    """Freeze the list and select a frame, which is on that page of the list."""
    freeze()
    _set_page(page)
    _select(str(frame_id))


def page_changed() -> None:
    """Freeze the list at the page that the person chose in the pager, and select its first frame."""
    chosen = int(st.session_state[pager_key()])
    if chosen == page_number():  # a new pager reports its first value too, which is no choice of the user
        return
    freeze()
    st.session_state[PAGE] = chosen
    _select(None)


def restore(session: Session, live: VerdictPage) -> None:
    """Open the page of a frame that only the address names, after a reload or through a shared link."""
    named = selected_frame_id()
    if named is None or frozen_at() is not None:
        return
    frame = verdict_pages.find_frame(session, live, named)
    if frame is None:
        resume_live()
        return
    index = verdict_pages.index_of(session, live, frame)
    select_frame(frame.frame_id, verdict_pages.page_of_index(index or 0))


def selected_frame_id() -> str | None:
    """Return the selected frame as the address names it, unless that address is older than the last selection."""
    named = st.query_params.get(FRAME)
    change: SelectionChange | None = st.session_state.get(SELECTION)
    if change is not None and named == change.before and context.now() - change.at < ADDRESS_DELAY:
        return change.after
    return named


def frozen_at() -> datetime | None:
    """Return when the list was frozen, or None while it is live."""
    frozen: datetime | None = st.session_state.get(FROZEN_AT)
    return frozen


def page_number() -> int:
    """Return the current page of the list, from 1."""
    return int(st.session_state.get(PAGE, 1))


def pager_key() -> str:
    """Return the key of the pager.

    It changes when the page is set by code: the browser may still send the value of the pager from before.
    """
    return f"frames_pager_{st.session_state.get(PAGER_VERSION, 0)}"


def _set_page(number: int) -> None:
    if number != page_number():
        st.session_state[PAGE] = number
        st.session_state[PAGER_VERSION] = st.session_state.get(PAGER_VERSION, 0) + 1


def _select(frame_id: str | None) -> None:
    st.session_state[SELECTION] = SelectionChange(st.query_params.get(FRAME), frame_id, context.now())
    if frame_id is None:
        st.query_params.pop(FRAME, None)
    else:
        st.query_params[FRAME] = frame_id
