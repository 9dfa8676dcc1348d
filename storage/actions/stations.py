"""What people do to stations."""

from datetime import datetime

from sqlalchemy.orm import Session

from storage.auth import audit_log
from storage.auth.actors import Actor
from storage.auth.permission import authorize
from storage.line import stations
from storage.line.stations import Station, StationSettings


def add(session: Session, actor: Actor, name: str, settings: StationSettings, at: datetime) -> Station:
    """As `stations.add`; raises `PermissionDenied`."""
    who = authorize(session, actor, "station.add")
    made = stations.add(session, name, settings, at)
    audit_log.record(session, who, "station.add", at, station=name, subject=f"station {name}", after=settings)
    return made


def edit(
    session: Session, actor: Actor, name: str, settings: StationSettings, at: datetime, reason: str = ""
) -> Station:
    """As `stations.edit`, the sensitivity among the settings; raises `PermissionDenied`. What changes nothing is no
    entry."""
    who = authorize(session, actor, "station.edit")
    before = stations.get(session, name)
    after = stations.edit(session, name, settings)
    if after.settings != before.settings:
        audit_log.record(
            session,
            who,
            "station.edit",
            at,
            station=name,
            subject=f"station {name}",
            before=before.settings,
            after=after.settings,
            reason=reason,
        )
    return after
