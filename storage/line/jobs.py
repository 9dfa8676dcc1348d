"""Jobs: work that needs a model. A person asks for it, a scorer takes it, says how far it is, and leaves the result.

A job whose worker stopped beating is taken again, a few times; one that keeps killing its workers fails.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, insert, or_, select, update
from sqlalchemy.orm import Session

from storage.database.rows import columns_of
from storage.database.tables import JobRow
from storage.database.truncate import truncate
from storage.errors import NotFound

JobKind = Literal["what_if", "golden"]
JobState = Literal["queued", "running", "done", "failed", "cancelled"]

HEARTBEAT_TIMEOUT = timedelta(seconds=30)  # without a beat
MAX_TRIES = 3
_OPEN: tuple[JobState, ...] = ("queued", "running")


@dataclass(frozen=True, slots=True)
class Job:
    """`payload` and `result` are JSON, shaped by the kind: see `storage.line.what_if` and
    `storage.line.golden_frames`."""

    id: int
    kind: JobKind
    station_id: int
    payload: Mapping[str, Any]
    state: JobState
    progress: int
    total: int | None
    result: Any
    error: str | None
    requested_by: str
    requested_at: datetime
    tries: int
    claimed_by: str | None
    heartbeat_at: datetime | None
    finished_at: datetime | None

    @property
    def is_over(self) -> bool:
        return self.state not in _OPEN


def enqueue(
    session: Session, kind: JobKind, station_id: int, payload: Mapping[str, Any], requested_by: str, at: datetime
) -> Job:
    """Queue a job."""
    row = {
        "kind": kind,
        "station_id": station_id,
        "payload": dict(payload),
        "state": "queued",
        "progress": 0,
        "requested_by": truncate(requested_by, 64),
        "requested_at": at,
        "tries": 0,
    }
    return Job(*session.execute(insert(JobRow).values(**row).returning(*_COLUMNS)).one())


def has_available(
    session: Session, kinds: Sequence[JobKind], at: datetime, lost_after: timedelta = HEARTBEAT_TIMEOUT
) -> bool:
    """Whether `take` would find one; only reads, so that workers may ask often."""
    query = select(JobRow.id).where(JobRow.kind.in_(kinds), _takeable(at, lost_after)).limit(1)
    return session.scalar(query) is not None


def claim(
    session: Session, worker: str, kinds: Sequence[JobKind], at: datetime, lost_after: timedelta = HEARTBEAT_TIMEOUT
) -> Job | None:
    """The oldest job that waits or has lost its worker, now this worker's; None when there is none.

    Two workers that take at once get different ones. A job taken for the last time it may be and lost again fails.
    """
    session.execute(
        update(JobRow)
        .where(_lost(at, lost_after), JobRow.tries >= MAX_TRIES)
        .values(state="failed", error=f"It was lost with its worker {MAX_TRIES} times.", finished_at=at)
    )
    oldest = (
        select(JobRow.id)
        .where(JobRow.kind.in_(kinds), _takeable(at, lost_after))
        .order_by(JobRow.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    job_id = session.scalar(oldest)
    if job_id is None:
        return None
    change = {
        "state": "running",
        "claimed_by": truncate(worker, 120),
        "heartbeat_at": at,
        "progress": 0,
        "total": None,
    }
    session.execute(update(JobRow).where(JobRow.id == job_id).values(**change, tries=JobRow.tries + 1))
    return get(session, job_id)


def heartbeat(session: Session, job_id: int, worker: str, at: datetime, progress: int, total: int | None) -> bool:
    """Say how far it is; False when it is no longer this worker's (cancelled, or taken by another): then stop."""
    change = {"heartbeat_at": at, "progress": progress, "total": total}
    return _change(session, job_id, worker, change)


def finish(session: Session, job_id: int, worker: str, result: Mapping[str, Any], at: datetime) -> bool:
    """Leave the result; False, and nothing written, when it is no longer this worker's."""
    return _change(session, job_id, worker, {"state": "done", "result": dict(result), "finished_at": at})


def fail(session: Session, job_id: int, worker: str, error: str, at: datetime) -> bool:
    """Say in a sentence why it can't be done; False when it is no longer this worker's."""
    return _change(session, job_id, worker, {"state": "failed", "error": truncate(error, 1000), "finished_at": at})


def cancel(session: Session, job_id: int, at: datetime) -> Job:
    """Stop it; one that is over stays as it is. Raises `NotFound`."""
    session.execute(
        update(JobRow).where(JobRow.id == job_id, JobRow.state.in_(_OPEN)).values(state="cancelled", finished_at=at)
    )
    return get(session, job_id)


def get(session: Session, job_id: int) -> Job:
    """Raises `NotFound`."""
    row = session.execute(select(*_COLUMNS).where(JobRow.id == job_id)).first()
    if row is None:
        raise NotFound(f"There is no job {job_id}.")
    return Job(*row)


def recent(
    session: Session, station_id: int | None = None, *, kind: JobKind | None = None, limit: int = 20
) -> list[Job]:
    """Newest first."""
    query = select(*_COLUMNS).order_by(JobRow.id.desc()).limit(limit)
    if station_id is not None:
        query = query.where(JobRow.station_id == station_id)
    if kind is not None:
        query = query.where(JobRow.kind == kind)
    return [Job(*row) for row in session.execute(query)]


_COLUMNS = columns_of(JobRow, Job)


def _lost(at: datetime, lost_after: timedelta) -> ColumnElement[bool]:
    return and_(JobRow.state == "running", JobRow.heartbeat_at < at - lost_after)


def _takeable(at: datetime, lost_after: timedelta) -> ColumnElement[bool]:
    return or_(JobRow.state == "queued", _lost(at, lost_after))


def _change(session: Session, job_id: int, worker: str, change: Mapping[str, Any]) -> bool:
    statement = update(JobRow).where(
        JobRow.id == job_id, JobRow.state == "running", JobRow.claimed_by == truncate(worker, 120)
    )
    return session.scalar(statement.values(**change).returning(JobRow.id)) is not None
