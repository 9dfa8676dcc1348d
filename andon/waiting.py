"""Waiting for a job that a scorer does: whether there is a scorer at all, how far it is, and what came of it."""

from collections.abc import Callable
from datetime import datetime, timedelta

from andon.errors import Refused
from storage import jobs, workers
from storage.database import Database
from storage.jobs import Job
from storage.workers import Worker

ALIVE_WITHIN = timedelta(seconds=15)  # scorers beat every few seconds
POLL_S = 0.25


def require_a_scorer(database: Database, now: datetime) -> None:
    """Raises `Refused` when no scorer runs: a job would wait for nobody."""
    if not _alive(database, now):
        raise Refused("No scorer runs, and this needs one: start it with andon score, and ask again.")


def wait_for(
    database: Database,
    job_id: int,
    clock: Callable[[], datetime],
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
            raise Refused(f"The scorer could not do job {job_id}: {job.error}")
        if job.state == "cancelled":
            raise Refused(f"Job {job_id} was cancelled.")
        progress(job.progress)
        if not _alive(database, clock()):
            raise Refused(f"No scorer runs any more; job {job_id} is done when one starts: andon score.")
        if pause(POLL_S):
            raise Refused(f"Stopped waiting; job {job_id} goes on by itself.")


def _alive(database: Database, now: datetime) -> list[Worker]:
    with database.read() as session:
        return [
            worker
            for worker in workers.list_all(session)
            if worker.state != "stopped" and now - worker.seen_at <= ALIVE_WITHIN
        ]
