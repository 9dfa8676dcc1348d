"""Jobs that a scorer does for people: whether a scorer runs, the progress of a job, and how it ended."""

from datetime import timedelta

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import formatting, mutations, station_state
from dashboard.context import PageContext, draw_live
from storage.actions import jobs as job_actions
from storage.line import jobs, workers
from storage.line.jobs import Job, JobKind
from storage.line.stations import Station

REFRESH_EVERY_S = 1.0
NO_SCORER = (
    "No scorer is running. A job that you start waits in the queue until one runs: start a scorer with `andon score`."
)


def any_scorer_alive(page: PageContext, session: Session) -> bool:
    """Return whether any scorer runs that could take a job."""
    timeout = timedelta(seconds=page.settings.worker_timeout_s)
    return bool(station_state.alive(workers.list_all(session), page.now(), timeout))


def newest_job(session: Session, station: Station, kind: JobKind) -> Job | None:
    """Return the station's newest job of a kind, or None."""
    return next(iter(jobs.recent(session, station.id, kind=kind, limit=1)), None)


def job_under_way(page: PageContext, job: Job, *, scorer_alive: bool) -> None:
    """Draw the progress of a job that is not over, refreshed every second, and a button that cancels it."""
    if not scorer_alive:
        st.warning(NO_SCORER, icon=":material/power_off:")
    draw_live(page, progress, REFRESH_EVERY_S, job.id)
    st.button(
        "Cancel",
        key=f"cancel-{job.id}",
        icon=":material/cancel:",
        disabled=not page.is_allowed("job.cancel"),
        on_click=cancel,
        args=(page, job.id),
    )


def progress(page: PageContext, job_id: int) -> None:
    """Draw a progress bar, and run the page again when the job is over."""
    with page.read() as session:
        job = jobs.get(session, job_id)
    if job.is_over:
        st.rerun()
    st.progress(min(1.0, job.progress / job.total) if job.total else 0.0, text=describe(page, job))


def describe(page: PageContext, job: Job) -> str:
    """Return the progress of a job as text."""
    if job.state == "queued":
        return f"Requested by {job.requested_by} {formatting.ago(job.requested_at, page.now())}; waiting for a scorer."
    total = f" of {formatting.count(job.total)}" if job.total else ""
    return f"{formatting.count(job.progress)}{total} images scored by {job.claimed_by}."


def show_failure(job: Job) -> None:
    """Draw why a job that is over has no result; nothing for one that has."""
    if job.state == "failed":
        st.error(formatting.escape_markdown(job.error or "The job failed."), icon=":material/error:")
    elif job.state == "cancelled":
        st.info("The job was cancelled.", icon=":material/cancel:")


def cancel(page: PageContext, job_id: int) -> None:
    """Cancel a job."""
    mutations.apply(
        page, lambda session, actor: job_actions.cancel(session, actor, job_id, page.now()), "The job was cancelled."
    )
