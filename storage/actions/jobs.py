"""Actions on jobs: the work that people request from scorers."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from storage.actions.audited import Change, audited
from storage.auth.actors import Actor
from storage.errors import InvalidChange
from storage.line import golden_frames, jobs, normal_sets, stations, what_if
from storage.line.jobs import Job, JobKind
from storage.line.what_if import WhatIfRequest


def start_what_if(
    session: Session, actor: Actor, station: str, version: int, at: datetime, last: int = what_if.DEFAULT_FRAMES
) -> Job:
    """Request what would change if this normal set were active, over the station's last frames.

    Raises `NotFound`, and `InvalidChange` for fewer than 1 or too many frames.
    """
    with audited(session, actor, "job.start", at, station=station) as change:
        station_id = stations.get(session, station).id
        normal_sets.get(session, station_id, version)
        request = WhatIfRequest(version, last)
        return _enqueue(session, change, "what_if", station_id, request.to_json(), at)


def start_golden(session: Session, actor: Actor, station: str, at: datetime) -> Job:
    """Request a new score of the golden frame; raises `NotFound`, and `InvalidChange` where the station has none."""
    with audited(session, actor, "job.start", at, station=station) as change:
        station_id = stations.get(session, station).id
        if golden_frames.find(session, station_id) is None:
            raise InvalidChange(f"Station {station} has no golden frame: choose one of its frames first.")
        return _enqueue(session, change, "golden", station_id, {}, at)


def start_proposal(session: Session, actor: Actor, station: str, at: datetime) -> Job:
    """Request a draft of the station's next normal set from its stream; raises `NotFound`.

    Raises `InvalidChange` where such a job is queued or running already.
    """
    with audited(session, actor, "job.start", at, station=station) as change:
        station_id = stations.get(session, station).id
        stations.lock(session, station_id)
        if any(not job.is_over for job in jobs.recent(session, station_id, kind="propose_normals")):
            raise InvalidChange(f"Normals are being proposed for {station} already: wait for the draft.")
        return _enqueue(session, change, "propose_normals", station_id, {}, at)


def cancel(session: Session, actor: Actor, job_id: int, at: datetime) -> Job:
    """Stop a job; one that is over stays as it is. Raises `NotFound`."""
    with audited(session, actor, "job.cancel", at, f"job {job_id}") as change:
        job = jobs.get(session, job_id)
        cancelled = jobs.cancel(session, job_id, at)
        change.station = stations.name_of(session, job.station_id)
        change.before, change.after = {"state": job.state}, {"state": cancelled.state}
    return cancelled


def _enqueue(
    session: Session, change: Change, kind: JobKind, station_id: int, payload: Mapping[str, Any], at: datetime
) -> Job:
    job = jobs.enqueue(session, kind, station_id, payload, change.actor.name, at)
    change.subject = f"job {job.id}"
    change.after = {"kind": kind, **payload}
    return job
