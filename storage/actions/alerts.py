"""What people do to alerts, their rules, and mutes."""

from datetime import datetime

from sqlalchemy.orm import Session

from storage.alerts import alert_rules, alerts, mutes, notifications
from storage.alerts.alert_rules import AlertRule
from storage.alerts.alerts import Alert
from storage.alerts.mutes import Mute
from storage.auth import audit_log
from storage.auth.actors import Actor
from storage.auth.permission import authorize
from storage.auth.rights import Action
from storage.errors import InvalidChange
from storage.line import stations


def acknowledge(session: Session, actor: Actor, alert_id: int, at: datetime, note: str = "") -> Alert:
    """As `alerts.acknowledge`, and channels are told; raises `PermissionDenied`. Doing it again is no entry."""
    who = authorize(session, actor, "alert.acknowledge")
    before = alerts.get(session, alert_id)
    after = alerts.acknowledge(session, alert_id, who.name, at, note)
    if after.acknowledged_at != before.acknowledged_at:
        _enter(session, who, "alert.acknowledge", before, after, at, note)
        notifications.enqueue(session, after, "acknowledged", at)
    return after


def resolve(session: Session, actor: Actor, alert_id: int, at: datetime, note: str = "") -> Alert:
    """End an episode by hand, and channels are told; raises `PermissionDenied`. Doing it again is no entry."""
    who = authorize(session, actor, "alert.resolve")
    before = alerts.get(session, alert_id)
    after = alerts.resolve(session, alert_id, who.name, at, note)
    if after.resolved_at != before.resolved_at:
        _enter(session, who, "alert.resolve", before, after, at, note)
        notifications.enqueue(session, after, "resolved", at)
    return after


def mute(session: Session, actor: Actor, station: str, until: datetime, reason: str, at: datetime) -> Mute:
    """Tell nobody of this station's alerts until then; raises `PermissionDenied`, `InvalidChange` without a reason."""
    who = authorize(session, actor, "alert.mute")
    if not reason.strip():
        raise InvalidChange("A mute has a reason, such as 'lamp is being changed'.")
    made = mutes.mute(session, stations.get(session, station).id, until, reason, who.name, at)
    audit_log.record(
        session,
        who,
        "alert.mute",
        at,
        station=station,
        subject=f"station {station}",
        after={"until_at": until},
        reason=reason,
    )
    return made


def unmute(session: Session, actor: Actor, station: str, at: datetime) -> Mute | None:
    """End the mute in force and return it; None, and no entry, where there is none. Raises `PermissionDenied`."""
    who = authorize(session, actor, "alert.unmute")
    before = mutes.unmute(session, stations.get(session, station).id, who.name, at)
    if before is not None:
        was = {"until_at": before.until_at}
        audit_log.record(session, who, "alert.unmute", at, station=station, subject=f"station {station}", before=was)
    return before


def set_rule(session: Session, actor: Actor, rule: AlertRule, at: datetime, reason: str = "") -> None:
    """Set a rule at a station or for the line; raises `PermissionDenied`. What changes nothing is no entry."""
    who = authorize(session, actor, "alert_rule.set")
    station = None if rule.station_id is None else stations.name_of(session, rule.station_id)
    before = alert_rules.get(session, rule.station_id, rule.kind)
    alert_rules.put(session, rule)
    if before != rule:
        audit_log.record(
            session,
            who,
            "alert_rule.set",
            at,
            station=station,
            subject=f"rule {rule.kind}",
            before=before and {"enabled": before.enabled, "parameters": before.parameters},
            after={"enabled": rule.enabled, "parameters": rule.parameters},
            reason=reason,
        )


def _enter(session: Session, who: Actor, action: Action, before: Alert, after: Alert, at: datetime, note: str) -> None:
    audit_log.record(
        session,
        who,
        action,
        at,
        station=None if after.station_id is None else stations.name_of(session, after.station_id),
        subject=f"alert {after.id}, {after.rule}",
        before={"state": before.state},
        after={"state": after.state, "message": after.message},
        reason=note,
    )
