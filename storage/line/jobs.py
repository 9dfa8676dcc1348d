"""Jobs: work that needs a model, requested by a person, claimed by a scorer, which reports progress and a result.

A job whose worker sends no heartbeats is claimed again, up to `MAX_TRIES` times; then it fails.
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

JobKind = Literal["what_if", "golden", "propose_normals"]
JobState = Literal["queued", "running", "done", "failed", "cancelled"]

HEARTBEAT_TIMEOUT = timedelta(seconds=30)  # without a heartbeat
MAX_TRIES = 3
_OPEN: tuple[JobState, ...] = ("queued", "running")


@dataclass(frozen=True, slots=True)
class Job:
    """`payload` and `result` are JSON objects by kind: see `storage.line.what_if` and `storage.line.golden_frames`."""

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
        """Whether the job is done, failed or cancelled."""
        return self.state not in _OPEN


def enqueue(
    session: Session, kind: JobKind, station_id: int, payload: Mapping[str, Any], requested_by: str, at: datetime
) -> Job:
    """Add a job to the queue."""
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
    session: Session, kinds: Sequence[JobKind], at: datetime, heartbeat_timeout: timedelta = HEARTBEAT_TIMEOUT
) -> bool:
    """Return whether `claim` would find a job; read-only, so that workers may poll it often."""
    query = select(JobRow.id).where(JobRow.kind.in_(kinds), _claimable(at, heartbeat_timeout)).limit(1)
    return session.scalar(query) is not None


def claim(
    session: Session,
    worker: str,
    kinds: Sequence[JobKind],
    at: datetime,
    heartbeat_timeout: timedelta = HEARTBEAT_TIMEOUT,
) -> Job | None:
    """Claim the oldest job that is queued or has lost its worker; None without one.

    Workers that claim at the same time get different jobs. A job that was lost on its last try fails.
    """
    session.execute(
        update(JobRow)
        .where(_lost(at, heartbeat_timeout), JobRow.tries >= MAX_TRIES)
        .values(state="failed", error=f"The job lost its worker {MAX_TRIES} times.", finished_at=at)
    )
    oldest = (
        select(JobRow.id)
        .where(JobRow.kind.in_(kinds), _claimable(at, heartbeat_timeout))
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
    """Record the progress of a job; False when it is no longer this worker's, which must then stop.

    A job is lost to its worker when it is cancelled, or claimed by another worker after missing heartbeats.
    """
    change = {"heartbeat_at": at, "progress": progress, "total": total}
    return _change(session, job_id, worker, change)


def finish(session: Session, job_id: int, worker: str, result: Mapping[str, Any], at: datetime) -> bool:
    """Store the result; return False, and write nothing, when the job is no longer this worker's."""
    return _change(session, job_id, worker, {"state": "done", "result": dict(result), "finished_at": at})


def fail(session: Session, job_id: int, worker: str, error: str, at: datetime) -> bool:
    """Store an error of one sentence; return False, and write nothing, when the job is no longer this worker's."""
    return _change(session, job_id, worker, {"state": "failed", "error": truncate(error, 1000), "finished_at": at})


def cancel(session: Session, job_id: int, at: datetime) -> Job:
    """Cancel a job; one that is over stays as it is. Raises `NotFound`."""
    session.execute(
        update(JobRow).where(JobRow.id == job_id, JobRow.state.in_(_OPEN)).values(state="cancelled", finished_at=at)
    )
    return get(session, job_id)


def get(session: Session, job_id: int) -> Job:
    """Return the job; raises `NotFound`."""
    row = session.execute(select(*_COLUMNS).where(JobRow.id == job_id)).first()
    if row is None:
        raise NotFound(f"There is no job {job_id}.")
    return Job(*row)


def recent(
    session: Session, station_id: int | None = None, *, kind: JobKind | None = None, limit: int = 20
) -> list[Job]:
    """Return jobs, newest first."""
    query = select(*_COLUMNS).order_by(JobRow.id.desc()).limit(limit)
    if station_id is not None:
        query = query.where(JobRow.station_id == station_id)
    if kind is not None:
        query = query.where(JobRow.kind == kind)
    return [Job(*row) for row in session.execute(query)]


_COLUMNS = columns_of(JobRow, Job)


def _lost(at: datetime, heartbeat_timeout: timedelta) -> ColumnElement[bool]:
    return and_(JobRow.state == "running", JobRow.heartbeat_at < at - heartbeat_timeout)


def _claimable(at: datetime, heartbeat_timeout: timedelta) -> ColumnElement[bool]:
    return or_(JobRow.state == "queued", _lost(at, heartbeat_timeout))


def _change(session: Session, job_id: int, worker: str, change: Mapping[str, Any]) -> bool:
    statement = update(JobRow).where(
        JobRow.id == job_id, JobRow.state == "running", JobRow.claimed_by == truncate(worker, 120)
    )
    return session.scalar(statement.values(**change).returning(JobRow.id)) is not None
