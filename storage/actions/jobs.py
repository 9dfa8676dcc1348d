"""What people ask scorers for."""

from datetime import datetime

from sqlalchemy.orm import Session

from storage.auth import audit_log
from storage.auth.actors import Actor
from storage.auth.permission import authorize
from storage.errors import InvalidChange
from storage.line import golden_frames, jobs, normal_sets, stations, what_if
from storage.line.jobs import Job


def start_what_if(
    session: Session, actor: Actor, station: str, version: int, at: datetime, last: int = what_if.DEFAULT_FRAMES
) -> Job:
    """Ask what would change if this version were active, over the station's last frames; raises `PermissionDenied`."""
    who = authorize(session, actor, "job.start")
    place = stations.get(session, station)
    normal_sets.get(session, place.id, version)
    if not 1 <= last <= what_if.MAX_FRAMES:
        raise InvalidChange(f"A what-if looks at 1 to {what_if.MAX_FRAMES} frames.")
    asked = what_if.WhatIfRequest(version, last)
    job = jobs.enqueue(session, "what_if", place.id, asked.to_json(), who.name, at)
    _enter(session, who, station, job, at)
    return job


def start_golden(session: Session, actor: Actor, station: str, at: datetime) -> Job:
    """Ask for the golden frame's score now; raises `PermissionDenied`, and `InvalidChange` where the station has
    none."""
    who = authorize(session, actor, "job.start")
    place = stations.get(session, station)
    if golden_frames.find(session, place.id) is None:
        raise InvalidChange(f"Station {station} has no golden frame: choose one of its frames first.")
    job = jobs.enqueue(session, "golden", place.id, {}, who.name, at)
    _enter(session, who, station, job, at)
    return job


def cancel(session: Session, actor: Actor, job_id: int, at: datetime) -> Job:
    """As `jobs.cancel`; raises `PermissionDenied`. Cancelling what is over is no entry."""
    who = authorize(session, actor, "job.cancel")
    before = jobs.get(session, job_id)
    after = jobs.cancel(session, job_id, at)
    if after.state != before.state:
        station = stations.name_of(session, after.station_id)
        was = {"state": before.state}
        audit_log.record(session, who, "job.cancel", at, station=station, subject=f"job {job_id}", before=was)
    return after


def _enter(session: Session, who: Actor, station: str, job: Job, at: datetime) -> None:
    after = {"kind": job.kind, **job.payload}
    audit_log.record(session, who, "job.start", at, station=station, subject=f"job {job.id}", after=after)
