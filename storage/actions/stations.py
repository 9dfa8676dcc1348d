"""Actions on stations."""

from datetime import datetime

from sqlalchemy.orm import Session

from storage.actions.audited import audited
from storage.auth.actors import Actor
from storage.line import stations
from storage.line.stations import Station, StationSettings


def add(session: Session, actor: Actor, name: str, settings: StationSettings, at: datetime) -> Station:
    """Create a station; raises as `stations.add`."""
    with audited(session, actor, "station.add", at, f"station {name}", station=name) as change:
        added = stations.add(session, name, settings, at)
        change.after = settings
    return added


def edit(
    session: Session, actor: Actor, name: str, settings: StationSettings, at: datetime, reason: str = ""
) -> Station:
    """Replace a station's settings, its false-reject rate among them; raises as `stations.edit`."""
    with audited(session, actor, "station.edit", at, f"station {name}", station=name, reason=reason) as change:
        change.before = stations.get(session, name).settings
        edited = stations.edit(session, name, settings)
        change.after = edited.settings
    return edited
