"""Actions on alerts, their rules and mutes."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from storage.actions.audited import audited
from storage.alerts import alert_rules, alerts, mutes, notifications
from storage.alerts.alert_rules import AlertRule
from storage.alerts.alerts import Alert
from storage.alerts.mutes import Mute
from storage.auth.actors import Actor
from storage.auth.rights import Action
from storage.errors import InvalidChange
from storage.line import stations


def acknowledge(session: Session, actor: Actor, alert_id: int, at: datetime, note: str = "") -> Alert:
    """Acknowledge an alert and notify the channels; raises as `alerts.acknowledge`."""
    return _change_state(session, actor, "alert.acknowledge", alerts.acknowledge, alert_id, at, note)


def resolve(session: Session, actor: Actor, alert_id: int, at: datetime, note: str = "") -> Alert:
    """Resolve an alert by hand and notify the channels; raises `NotFound`."""
    return _change_state(session, actor, "alert.resolve", alerts.resolve, alert_id, at, note)


def mute(session: Session, actor: Actor, station: str, until: datetime, reason: str, at: datetime) -> Mute:
    """Mute this station's alerts until `until`; raises `NotFound`, `InvalidChange` without a reason."""
    with audited(session, actor, "alert.mute", at, f"station {station}", station=station, reason=reason) as change:
        if not reason.strip():
            raise InvalidChange("A mute needs a reason, such as 'lamp is being changed'.")
        muted = mutes.mute(session, stations.get(session, station).id, until, reason, change.actor.name, at)
        change.after = {"until_at": until}
    return muted


def unmute(session: Session, actor: Actor, station: str, at: datetime) -> Mute | None:
    """End the station's mute and return it as it was, None where none is in force; raises `NotFound`."""
    with audited(session, actor, "alert.unmute", at, f"station {station}", station=station) as change:
        ended = mutes.unmute(session, stations.get(session, station).id, change.actor.name, at)
        change.before = ended and {"until_at": ended.until_at}
    return ended


def set_rule(session: Session, actor: Actor, rule: AlertRule, at: datetime, reason: str = "") -> None:
    """Configure an alert rule at one station, or for the whole line where `station_id` is None."""
    with audited(session, actor, "alert_rule.set", at, f"rule {rule.kind}", reason=reason) as change:
        change.station = _station_name(session, rule.station_id)
        change.before = _configuration(alert_rules.get(session, rule.station_id, rule.kind))
        alert_rules.put(session, rule)
        change.after = _configuration(rule)


def _change_state(
    session: Session,
    actor: Actor,
    action: Action,
    change_state: Callable[[Session, int, str, datetime, str], Alert],
    alert_id: int,
    at: datetime,
    note: str,
) -> Alert:
    with audited(session, actor, action, at, reason=note) as change:
        before = alerts.get(session, alert_id)
        after = change_state(session, alert_id, change.actor.name, at, note)
        change.subject = f"alert {after.id}, {after.rule}"
        change.station = _station_name(session, after.station_id)
        change.before = {"state": before.state, "message": before.message}
        change.after = {"state": after.state, "message": after.message}
        if after.state != before.state:
            notifications.enqueue(session, after, after.state, at)
    return after


def _configuration(rule: AlertRule | None) -> dict[str, Any] | None:
    return None if rule is None else {"enabled": rule.enabled, "parameters": dict(rule.parameters)}


def _station_name(session: Session, station_id: int | None) -> str | None:
    return None if station_id is None else stations.name_of(session, station_id)
