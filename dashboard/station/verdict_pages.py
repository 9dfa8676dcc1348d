"""Leafing through a station's verdicts while new ones arrive: which page, which frame, and what stands still."""

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
MOST_PAGES = 200  # further back a database would have to skip too many rows a look; a shorter time range reaches them
SHOW: Mapping[str, Decision | None] = {"Flagged": "flag", "Passed": "pass", "All": None}


@dataclass(frozen=True, slots=True)
class VerdictPage:
    """One page of a station's frames, newest first.

    `frozen_at` is the moment that a person began to leaf: the list holds no later frame, so that nothing moves under
    the hand; None while the list is live.
    """

    station_id: int
    decision: Decision | None
    since: datetime
    frozen_at: datetime | None
    page: int
    total: int
    newer: int
    frames: tuple[Verdict, ...]

    @property
    def pages(self) -> int:
        return _pages(self.total)

    @property
    def reach(self) -> int:
        """How many frames can be leafed through, the newest ones."""
        return min(self.total, MOST_PAGES * PAGE_SIZE)


def listing(
    session: Session, station_id: int, show: str, since: datetime, frozen_at: datetime | None, page: int
) -> VerdictPage:
    """Read page `page` (from 1; the last one if there are fewer)."""
    decision = SHOW[show]
    total = verdicts.count(session, station_id, since=since, until=frozen_at, decision=decision)
    newer = verdicts.count(session, station_id, since=frozen_at, decision=decision) if frozen_at else 0
    page = min(page, _pages(total))
    frames = verdicts.recent(
        session,
        station_id,
        since=since,
        until=frozen_at,
        decision=decision,
        limit=PAGE_SIZE,
        offset=(page - 1) * PAGE_SIZE,
    )
    return VerdictPage(station_id, decision, since, frozen_at, page, total, newer, tuple(frames))


def named(session: Session, shown: VerdictPage, frame_id: str) -> Verdict | None:
    """The frame of that id, if there is one and it is this station's."""
    try:
        found = verdicts.get(session, UUID(frame_id))
    except (ValueError, NotFound):
        return None
    return found if found.station_id == shown.station_id else None


def chosen(session: Session, shown: VerdictPage, frame_id: str | None) -> Verdict | None:
    """The frame that was chosen; the newest on the page where none was."""
    newest = shown.frames[0] if shown.frames else None
    return named(session, shown, frame_id) or newest if frame_id else newest


def position(session: Session, shown: VerdictPage, frame: Verdict) -> int | None:
    """The frame's index in the list, 0 for the newest; None when it is not within reach."""
    for index, other in enumerate(shown.frames):
        if other.frame_id == frame.frame_id:
            return (shown.page - 1) * PAGE_SIZE + index
    fits = shown.decision in (None, frame.decision) and frame.captured_at >= shown.since
    if not fits or (shown.frozen_at is not None and frame.captured_at >= shown.frozen_at):
        return None
    newer = verdicts.count(
        session,
        shown.station_id,
        since=frame.captured_at + timedelta(microseconds=1),
        until=shown.frozen_at,
        decision=shown.decision,
    )
    return newer if newer < shown.reach else None


def at_position(session: Session, shown: VerdictPage, index: int) -> Verdict | None:
    """The frame at that index of the list, if it is within reach."""
    if not 0 <= index < shown.reach:
        return None
    found = verdicts.recent(
        session,
        shown.station_id,
        since=shown.since,
        until=shown.frozen_at,
        decision=shown.decision,
        limit=1,
        offset=index,
    )
    return found[0] if found else None


def _pages(total: int) -> int:
    return min(MOST_PAGES, max(1, -(-total // PAGE_SIZE)))
