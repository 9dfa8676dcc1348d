"""What people do to thresholds."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy.orm import Session

from storage.auth import audit_log
from storage.auth.actors import Actor
from storage.auth.permission import authorize
from storage.errors import InvalidChange
from storage.line import normal_sets, stations, thresholds
from storage.line.stations import Station
from storage.line.thresholds import Threshold

MANUAL_GUARANTEE = "Set by hand: no false-reject rate is promised."


def set_manually(
    session: Session, actor: Actor, station: str, value: float, reason: str, at: datetime, model_id: str | None = None
) -> Threshold:
    """Put a threshold in force for the station's active normal set, by the model that has one (else name it).

    It stays until somebody sets another, activates another set or changes the station's false-reject rate. Raises
    `PermissionDenied`, and `InvalidChange` without a reason, or where there is no active set or no model yet.
    """
    who = authorize(session, actor, "threshold.set")
    if not reason.strip():
        raise InvalidChange("A threshold that is set by hand has a reason, for those who read the history.")
    place = stations.get(session, station)
    active = normal_sets.active(session, place.id)
    if active is None:
        raise InvalidChange(
            f"Station {station} has no active normal set, so there is nothing that a threshold could belong to."
        )
    before = _in_force(session, place.id, active.id, model_id)
    model = model_id or (before and before.model_id)
    if not model:
        raise InvalidChange(f"No scorer has calibrated {station} yet: a threshold can be set once one has.")
    made = Threshold(
        place.id,
        active.id,
        model,
        value,
        place.settings.false_reject_rate,
        MANUAL_GUARANTEE,
        at,
        who.name,
        "manual",
        reason,
    )
    thresholds.record(session, made)
    audit_log.record(
        session,
        who,
        "threshold.set",
        at,
        station=station,
        subject=f"threshold for normal set {active.version}",
        before=None if before is None else {"value": before.value, "kind": before.kind},
        after={"value": value, "kind": "manual", "model_id": model},
        reason=reason,
    )
    return made


def set_false_reject_rate(
    session: Session, actor: Actor, station: str, false_reject_rate: float, reason: str, at: datetime
) -> Station:
    """Choose how many good parts may be flagged at this station, a share in (0, 1).

    Running scorers then calibrate a new threshold, in place of one set by hand too. Raises `PermissionDenied`,
    `InvalidChange`.
    """
    who = authorize(session, actor, "threshold.set")
    before = stations.get(session, station)
    after = stations.edit(session, station, replace(before.settings, false_reject_rate=false_reject_rate))
    audit_log.record(
        session,
        who,
        "threshold.set",
        at,
        station=station,
        subject="false-reject rate",
        before={"false_reject_rate": before.settings.false_reject_rate},
        after={"false_reject_rate": false_reject_rate},
        reason=reason,
    )
    return after


def _in_force(session: Session, station_id: int, normal_set_id: int, model_id: str | None) -> Threshold | None:
    newest = (made for made in thresholds.history(session, station_id) if made.normal_set_id == normal_set_id)
    return next((made for made in newest if model_id is None or made.model_id == model_id), None)
