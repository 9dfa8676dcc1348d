"""Actions on thresholds and on the false-reject rate that they are calibrated for."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy.orm import Session

from storage.actions.audited import audited
from storage.auth.actors import Actor
from storage.errors import InvalidChange
from storage.line import normal_sets, stations, thresholds
from storage.line.stations import Station
from storage.line.thresholds import Threshold

MANUAL_GUARANTEE = "Set by hand: no false-reject rate is guaranteed."


def set_manually(
    session: Session, actor: Actor, station: str, value: float, reason: str, at: datetime, model_id: str | None = None
) -> Threshold:
    """Put a threshold in force for the station's active normal set, and for `model_id` or the newest calibrated model.

    It stays until somebody sets another, activates another normal set, changes the station's false-reject rate, or
    changes its object where the detector's texts name it.
    Raises `NotFound`, and `InvalidChange` without a reason, an active normal set or a calibrated model.
    """
    with audited(session, actor, "threshold.set", at, station=station, reason=reason) as change:
        if not reason.strip():
            raise InvalidChange("A threshold that is set by hand needs a reason, for those who read the history.")
        of_station = stations.get(session, station)
        active = normal_sets.active(session, of_station.id)
        if active is None:
            raise InvalidChange(f"Station {station} has no active normal set: activate one before setting a threshold.")
        before = _newest(session, of_station.id, active.id, model_id)
        model = model_id or (before and before.model_id)
        if not model:
            raise InvalidChange(f"No scorer has calibrated {station} yet: a threshold can be set once one has.")
        threshold = Threshold(
            station_id=of_station.id,
            normal_set_id=active.id,
            model_id=model,
            value=value,
            false_reject_rate=of_station.settings.false_reject_rate,
            guarantee=MANUAL_GUARANTEE,
            made_at=at,
            made_by=change.actor.name,
            kind="manual",
            reason=reason,
            references_digest=None if before is None else before.references_digest,
            review_limit=_review_limit(before, value),
        )
        thresholds.record(session, threshold)
        change.subject = f"threshold for normal set {active.version}"
        change.before = before and {"value": before.value, "kind": before.kind}
        change.after = {"value": value, "kind": threshold.kind, "model_id": model}
    return threshold


def set_false_reject_rate(
    session: Session, actor: Actor, station: str, false_reject_rate: float, reason: str, at: datetime
) -> Station:
    """Set the share of good parts, in (0, 1), that may be flagged at this station.

    Running scorers then calibrate a new threshold, which replaces a manual one too. Raises `NotFound`, `InvalidChange`.
    """
    with audited(session, actor, "threshold.set", at, "false-reject rate", station=station, reason=reason) as change:
        before = stations.get(session, station).settings
        edited = stations.edit(session, station, replace(before, false_reject_rate=false_reject_rate))
        change.before = {"false_reject_rate": before.false_reject_rate}
        change.after = {"false_reject_rate": false_reject_rate}
    return edited


def _review_limit(before: Threshold | None, value: float) -> float | None:
    """Return the review limit that was in force, but none above the new threshold."""
    return None if before is None or before.review_limit is None else min(before.review_limit, value)


def _newest(session: Session, station_id: int, normal_set_id: int, model_id: str | None) -> Threshold | None:
    history = (one for one in thresholds.history(session, station_id) if one.normal_set_id == normal_set_id)
    return next((one for one in history if model_id is None or one.model_id == model_id), None)
