"""What people ask scorers for."""

from datetime import datetime

from sqlalchemy.orm import Session

from storage import audit, golden, jobs, normal_sets, stations, what_if
from storage.actors import Actor
from storage.desk.permission import permit
from storage.errors import RuleBroken
from storage.jobs import Job


def start_what_if(
    session: Session, actor: Actor, station: str, version: int, at: datetime, last: int = what_if.LAST
) -> Job:
    """Ask what would change if this version were active, over the station's last frames; raises `NotAllowed`."""
    who = permit(session, actor, "job.start")
    place = stations.get(session, station)
    normal_sets.get(session, place.id, version)
    if not 1 <= last <= what_if.MOST:
        raise RuleBroken(f"A what-if looks at 1 to {what_if.MOST} frames.")
    asked = what_if.Asked(version, last)
    job = jobs.add(session, "what_if", place.id, asked.to_json(), who.name, at)
    _enter(session, who, station, job, at)
    return job


def start_golden(session: Session, actor: Actor, station: str, at: datetime) -> Job:
    """Ask for the golden frame's score now; raises `NotAllowed`, and `RuleBroken` where the station has none."""
    who = permit(session, actor, "job.start")
    place = stations.get(session, station)
    if golden.of_station(session, place.id) is None:
        raise RuleBroken(f"Station {station} has no golden frame: choose one of its frames first.")
    job = jobs.add(session, "golden", place.id, {}, who.name, at)
    _enter(session, who, station, job, at)
    return job


def cancel(session: Session, actor: Actor, job_id: int, at: datetime) -> Job:
    """As `jobs.cancel`; raises `NotAllowed`. Cancelling what is over is no entry."""
    who = permit(session, actor, "job.cancel")
    before = jobs.get(session, job_id)
    after = jobs.cancel(session, job_id, at)
    if after.state != before.state:
        station = stations.name_of(session, after.station_id)
        was = {"state": before.state}
        audit.record(session, who, "job.cancel", at, station=station, subject=f"job {job_id}", before=was)
    return after


def _enter(session: Session, who: Actor, station: str, job: Job, at: datetime) -> None:
    after = {"kind": job.kind, **job.payload}
    audit.record(session, who, "job.start", at, station=station, subject=f"job {job.id}", after=after)
