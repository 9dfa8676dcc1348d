"""Waiting for a job that a scorer runs: whether a scorer is running, the job's progress, and its outcome."""

from collections.abc import Callable
from datetime import timedelta

from andon.errors import CommandFailed
from foundation.clock import Clock
from storage.database.engine import Database
from storage.line import jobs, workers
from storage.line.jobs import Job

HEARTBEAT_TIMEOUT = timedelta(seconds=15)  # scorers send a heartbeat every few seconds
POLL_INTERVAL_S = 0.25


def require_running_scorer(database: Database, clock: Clock) -> None:
    """Check that a scorer is running, so that a job will be picked up.

    Raises:
        CommandFailed: No scorer has sent a heartbeat lately.
    """
    if not _is_scorer_alive(database, clock):
        raise CommandFailed("No scorer is running, and this command needs one: start it with andon score, then retry.")


def wait_for_job(
    database: Database,
    job_id: int,
    clock: Clock,
    pause: Callable[[float], bool],
    progress: Callable[[int], None],
) -> Job:
    """Poll the job until it is done, and return it.

    Args:
        database: Where the job is recorded.
        job_id: The job's id.
        clock: Gives the time from which the age of a scorer's heartbeat follows.
        pause: Waits for the given seconds and returns True when the person wants to stop.
        progress: Called with the job's progress, a count whose meaning the job defines.

    Raises:
        CommandFailed: The job failed or was cancelled, no scorer is left, or `pause` returned True.
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
        if not _is_scorer_alive(database, clock):
            raise CommandFailed(f"No scorer is running any more; start one with andon score and it does job {job_id}.")
        if pause(POLL_INTERVAL_S):
            raise CommandFailed(f"Stopped waiting; job {job_id} continues in the scorer.")


def _is_scorer_alive(database: Database, clock: Clock) -> bool:
    with database.read() as session:
        return any(
            worker.state != "stopped" and clock() - worker.seen_at <= HEARTBEAT_TIMEOUT
            for worker in workers.list_all(session)
        )
