"""Work that a scorer does for people: whether one runs, how far it is, and what became of it."""

from datetime import timedelta

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import context, formatting, mutations, station_state
from dashboard.auth import identity
from storage.actions import jobs as actions
from storage.line import jobs, workers
from storage.line.jobs import Job, JobKind
from storage.line.stations import Station

LOOK_EVERY_S = 1.0
NOBODY = (
    "No scorer is running, so nobody can do this now: start one with `andon score`. What is asked for waits until then."
)


def is_any_scorer(session: Session) -> bool:
    timeout = timedelta(seconds=context.settings().worker_timeout_s)
    return bool(station_state.alive(workers.list_all(session), context.now(), timeout))


def newest(session: Session, place: Station, kind: JobKind) -> Job | None:
    found = jobs.recent(session, place.id, kind=kind, limit=1)
    return found[0] if found else None


def under_way(job: Job, scorer_runs: bool) -> None:
    """A job that is not over: its progress, drawn anew each second, and a way to stop it."""
    if not scorer_runs:
        st.warning(NOBODY, icon=":material/power_off:")
    context.live(progress, LOOK_EVERY_S, job.id)
    st.button(
        "Stop it",
        key=f"cancel-{job.id}",
        icon=":material/cancel:",
        disabled=not identity.may("job.cancel"),
        on_click=cancel,
        args=(job.id,),
    )


def progress(job_id: int) -> None:
    with context.reading() as session:
        job = jobs.get(session, job_id)
    if job.is_over:
        st.rerun()
    st.progress(min(1.0, job.progress / job.total) if job.total else 0.0, text=said(job))


def said(job: Job) -> str:
    """How far it is, in words."""
    waits = formatting.ago(job.requested_at, context.now())
    if job.state == "queued":
        return f"Asked for by {job.requested_by} {waits}; waits for a scorer."
    total = f" of {formatting.count(job.total)}" if job.total else ""
    return f"{formatting.count(job.progress)}{total} images scored by {job.claimed_by}."


def trouble(job: Job) -> None:
    """Says what became of a job that has no result."""
    if job.state == "failed":
        st.error(job.error or "It failed.", icon=":material/error:")
    elif job.state == "cancelled":
        st.info("It was stopped.", icon=":material/cancel:")


def cancel(job_id: int) -> None:
    mutations.act(lambda session, who: actions.cancel(session, who, job_id, context.now()), "Stopped.")
