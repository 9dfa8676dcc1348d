"""The list of a station's verdicts, page by page, while new ones arrive."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from storage.errors import NotFound
from storage.line import verdicts
from storage.line.decision import Decision
from storage.line.verdicts import Verdict

PAGE_SIZE = 12
MAX_PAGES = 200  # beyond, a database would skip too many rows per query; a shorter time range reaches older frames
FILTERS: Mapping[str, Decision | None] = {
    "Flagged": "flag",
    "Passed": "pass",
    "Bad pictures": "bad_picture",
    "All": None,
}


@dataclass(frozen=True, slots=True)
class VerdictPage:
    """One page of a station's verdicts, newest first.

    `frozen_at` is when the person began to browse: the list holds no later frame, so that nothing moves while they
    read; None while the list is live. `newer` counts the frames since then.
    """

    station_id: int
    decision: Decision | None
    since: datetime
    frozen_at: datetime | None
    number: int
    total: int
    newer: int
    frames: tuple[Verdict, ...]

    @property
    def pages(self) -> int:
        """The number of pages that can be opened."""
        return _page_count(self.total)

    @property
    def reachable(self) -> int:
        """The number of frames on those pages, the newest ones."""
        return min(self.total, MAX_PAGES * PAGE_SIZE)


def read_page(
    session: Session, station_id: int, filter_name: str, since: datetime, frozen_at: datetime | None, number: int
) -> VerdictPage:
    """Read a page of verdicts.

    Args:
        session: A transaction.
        station_id: The station.
        filter_name: A key of `FILTERS`.
        since: The beginning of the time range.
        frozen_at: The end of the time range; None for a live list.
        number: The page, from 1; the last page if fewer exist.
    """
    decision = FILTERS[filter_name]
    total = verdicts.count(session, station_id, since=since, until=frozen_at, decision=decision)
    newer = verdicts.count(session, station_id, since=frozen_at, decision=decision) if frozen_at else 0
    number = min(number, _page_count(total))
    frames = verdicts.recent(
        session,
        station_id,
        since=since,
        until=frozen_at,
        decision=decision,
        limit=PAGE_SIZE,
        offset=(number - 1) * PAGE_SIZE,
    )
    return VerdictPage(station_id, decision, since, frozen_at, number, total, newer, tuple(frames))


def find_frame(session: Session, page: VerdictPage, frame_id: str) -> Verdict | None:
    """Return the verdict of a frame of this station, or None; a text that is no UUID finds nothing."""
    try:
        verdict = verdicts.get(session, UUID(frame_id))
    except (ValueError, NotFound):
        return None
    return verdict if verdict.station_id == page.station_id else None


def selected_frame(session: Session, page: VerdictPage, frame_id: str | None) -> Verdict | None:
    """Return the frame that was selected, or the newest of the page where none was."""
    newest = page.frames[0] if page.frames else None
    return find_frame(session, page, frame_id) or newest if frame_id else newest


def index_of(session: Session, page: VerdictPage, frame: Verdict) -> int | None:
    """Return the frame's index in the list, 0 for the newest; None when the list does not hold it."""
    for index, other in enumerate(page.frames):
        if other.frame_id == frame.frame_id:
            return (page.number - 1) * PAGE_SIZE + index
    matches = page.decision in (None, frame.decision) and frame.captured_at >= page.since
    if not matches or (page.frozen_at is not None and frame.captured_at >= page.frozen_at):
        return None
    newer = verdicts.count(
        session,
        page.station_id,
        since=frame.captured_at + timedelta(microseconds=1),
        until=page.frozen_at,
        decision=page.decision,
    )
    return newer if newer < page.reachable else None


def frame_at(session: Session, page: VerdictPage, index: int) -> Verdict | None:
    """Return the frame at an index of the list, or None when the list does not reach so far."""
    if not 0 <= index < page.reachable:
        return None
    found = verdicts.recent(
        session,
        page.station_id,
        since=page.since,
        until=page.frozen_at,
        decision=page.decision,
        limit=1,
        offset=index,
    )
    return found[0] if found else None


def page_of_index(index: int) -> int:
    """Return the number of the page that holds an index, from 1."""
    return index // PAGE_SIZE + 1


def _page_count(total: int) -> int:
    return min(MAX_PAGES, max(1, -(-total // PAGE_SIZE)))
