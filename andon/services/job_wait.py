"""Waiting for a job that a scorer does: whether there is a scorer at all, how far it is, and what came of it."""

from collections.abc import Callable
from datetime import datetime, timedelta

from andon.errors import CommandFailed
from foundation.clock import Clock
from storage.database.engine import Database
from storage.line import jobs, workers
from storage.line.jobs import Job
from storage.line.workers import WorkerStatus

HEARTBEAT_TIMEOUT = timedelta(seconds=15)  # scorers beat every few seconds
POLL_INTERVAL_S = 0.25


def require_running_scorer(database: Database, now: datetime) -> None:
    """Raises `Refused` when no scorer runs: a job would wait for nobody."""
    if not _alive(database, now):
        raise CommandFailed("No scorer runs, and this needs one: start it with andon score, and ask again.")


def wait_for_job(
    database: Database,
    job_id: int,
    clock: Clock,
    pause: Callable[[float], bool],
    progress: Callable[[int], None],
) -> Job:
    """Look at the job until it is done, and return it; raises `Refused` when it fails, or when no scorer is left.

    `pause` waits for so many seconds and is True when the person wants to stop, which raises `Refused` too.
    """
    while True:
        with database.read() as session:
            job = jobs.get(session, job_id)
        if job.state == "done":
            return job
        if job.state == "failed":
            raise CommandFailed(f"The scorer could not do job {job_id}: {job.error}")
        if job.state == "cancelled":
            raise CommandFailed(f"Job {job_id} was cancelled.")
        progress(job.progress)
        if not _alive(database, clock()):
            raise CommandFailed(f"No scorer runs any more; job {job_id} is done when one starts: andon score.")
        if pause(POLL_INTERVAL_S):
            raise CommandFailed(f"Stopped waiting; job {job_id} goes on by itself.")


def _alive(database: Database, now: datetime) -> list[WorkerStatus]:
    with database.read() as session:
        return [
            worker
            for worker in workers.list_all(session)
            if worker.state != "stopped" and now - worker.seen_at <= HEARTBEAT_TIMEOUT
        ]
