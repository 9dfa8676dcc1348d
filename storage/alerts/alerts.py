"""Alerts: episodes of a condition that needs a person; opened → acknowledged → resolved, with names and times.

The configuration of rules is in `storage.alerts.alert_rules`, mutes are in `storage.alerts.mutes`, and notifications in
`storage.alerts.channels` and `storage.alerts.notifications`. What people do to all of them is in
`storage.actions.alerts`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import Session

from storage.database.rows import columns_of, insert_into
from storage.database.tables import AlertRow
from storage.database.truncate import truncate
from storage.errors import InvalidChange, NotFound

Severity = Literal["info", "warning", "critical"]
AlertState = Literal["opened", "acknowledged", "resolved"]

SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")  # from mild to severe


@dataclass(frozen=True, slots=True)
class Alert:
    """One episode; `station_id` is None for the whole line, `resolved_by` for one that ended by itself.

    `evidence` holds the JSON values that the rule decided by; `condition_seen_at` is when its condition last held.
    """

    id: int
    station_id: int | None
    rule: str
    severity: Severity
    state: AlertState
    message: str
    evidence: Mapping[str, Any]
    opened_at: datetime
    condition_seen_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    resolved_at: datetime | None
    resolved_by: str | None
    note: str


def open_episode(
    session: Session,
    station_id: int | None,
    rule: str,
    severity: Severity,
    message: str,
    evidence: Mapping[str, Any],
    at: datetime,
) -> Alert | None:
    """Open an alert; return None, and write nothing, where this station and rule have an unresolved one.

    Of two processes that open the same alert at once, one opens it.
    """
    row = {
        "station_id": station_id,
        "rule": truncate(rule, 40),
        "severity": severity,
        "state": "opened",
        "message": truncate(message, 500),
        "evidence": dict(evidence),
        "opened_at": at,
        "condition_seen_at": at,
        "note": "",
    }
    statement = insert_into(session, AlertRow).values(**row).on_conflict_do_nothing().returning(AlertRow.id)
    alert_id = session.scalar(statement)
    return None if alert_id is None else get(session, alert_id)


def refresh(session: Session, alert_id: int, evidence: Mapping[str, Any], at: datetime) -> None:
    """Record that the condition still holds at `at`, with new evidence; a resolved alert stays as it is."""
    session.execute(
        update(AlertRow)
        .where(AlertRow.id == alert_id, AlertRow.resolved_at.is_(None))
        .values(condition_seen_at=at, evidence=dict(evidence))
    )


def acknowledge(session: Session, alert_id: int, by: str, at: datetime, note: str = "") -> Alert:
    """Acknowledge an alert; one that is acknowledged keeps its first name and time.

    Raises `NotFound`, and `InvalidChange` for a resolved alert.
    """
    alert = _lock(session, alert_id)
    if alert.state == "acknowledged":
        return alert
    if alert.state == "resolved":
        raise InvalidChange(f"Alert {alert_id} is already resolved and cannot be acknowledged.")
    change = {
        "state": "acknowledged",
        "acknowledged_at": at,
        "acknowledged_by": truncate(by, 64),
        "note": truncate(note, 500),
    }
    session.execute(update(AlertRow).where(AlertRow.id == alert_id).values(**change))
    return get(session, alert_id)


def resolve(session: Session, alert_id: int, by: str | None, at: datetime, note: str = "") -> Alert:
    """End the episode, by hand or, with `by` None, because its condition ended; raises `NotFound`.

    A resolved alert stays as it is.
    """
    alert = _lock(session, alert_id)
    if alert.state == "resolved":
        return alert
    change = {"state": "resolved", "resolved_at": at, "resolved_by": by and truncate(by, 64)}
    if note:
        change["note"] = truncate(note, 500)
    session.execute(update(AlertRow).where(AlertRow.id == alert_id).values(**change))
    return get(session, alert_id)


def get(session: Session, alert_id: int) -> Alert:
    """Return the alert; raises `NotFound`."""
    row = session.execute(select(*_COLUMNS).where(AlertRow.id == alert_id)).first()
    if row is None:
        raise NotFound(f"There is no alert {alert_id}: `andon alerts list` shows the alerts.")
    return Alert(*row)


def unresolved(session: Session, station_id: int | None = None) -> list[Alert]:
    """Return opened and acknowledged alerts, newest first, of one station or of all stations and the line."""
    query = select(*_COLUMNS).where(AlertRow.resolved_at.is_(None))
    if station_id is not None:
        query = query.where(AlertRow.station_id == station_id)
    return [Alert(*row) for row in session.execute(query.order_by(*_NEWEST_FIRST))]


def find_unresolved(session: Session, station_id: int | None, rule: str) -> Alert | None:
    """Return the unresolved alert of this station (None: the line) and rule; None without one."""
    row = session.execute(
        select(*_COLUMNS).where(
            AlertRow.station_id.is_(None) if station_id is None else AlertRow.station_id == station_id,
            AlertRow.rule == rule,
            AlertRow.resolved_at.is_(None),
        )
    ).first()
    return None if row is None else Alert(*row)


def recent(
    session: Session,
    station_id: int | None = None,
    *,
    states: Sequence[AlertState] = (),
    rule: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 100,
    offset: int = 0,
) -> list[Alert]:
    """Return the alerts opened in [since, until), newest first; no states means all."""
    query = _filtered(select(*_COLUMNS), station_id, states, rule, since, until)
    rows = session.execute(query.order_by(*_NEWEST_FIRST).limit(limit).offset(offset))
    return [Alert(*row) for row in rows]


def count(
    session: Session,
    station_id: int | None = None,
    *,
    states: Sequence[AlertState] = (),
    rule: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> int:
    """Return the number of alerts that `recent` would return without its limit."""
    query = _filtered(select(func.count()).select_from(AlertRow), station_id, states, rule, since, until)
    return session.scalar(query) or 0


_COLUMNS = columns_of(AlertRow, Alert)
_NEWEST_FIRST = (AlertRow.opened_at.desc(), AlertRow.id.desc())


def _filtered(
    query: Select[Any],
    station_id: int | None,
    states: Sequence[AlertState],
    rule: str | None,
    since: datetime | None,
    until: datetime | None,
) -> Select[Any]:
    if station_id is not None:
        query = query.where(AlertRow.station_id == station_id)
    if states:
        query = query.where(AlertRow.state.in_(states))
    if rule is not None:
        query = query.where(AlertRow.rule == rule)
    if since is not None:
        query = query.where(AlertRow.opened_at >= since)
    return query if until is None else query.where(AlertRow.opened_at < until)


def _lock(session: Session, alert_id: int) -> Alert:
    """Return the alert, locked until the transaction ends, so that two people's changes come one by one."""
    session.execute(select(AlertRow.id).where(AlertRow.id == alert_id).with_for_update())
    return get(session, alert_id)
