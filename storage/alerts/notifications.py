"""Notifications: the outbox of alerts, written with the change of an alert and emptied by the sender.

A row is due from `next_at` on. Claiming it moves that into the future, so that two senders don't both send it, and one
that dies while sending is followed by another attempt: at-least-once delivery.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from storage.alerts import channels, mutes
from storage.alerts.alerts import SEVERITIES, Alert
from storage.database.rows import columns_of, insert_new
from storage.database.tables import ChannelRow, NotificationRow
from storage.database.truncate import truncate

NotificationEvent = Literal["opened", "acknowledged", "resolved"]


@dataclass(frozen=True, slots=True)
class Notification:
    """One message: sent once `done_at` is set, given up when `next_at` is None too, else due at `next_at`."""

    id: int
    alert_id: int
    channel_id: int
    event: NotificationEvent
    tries: int
    next_at: datetime | None
    done_at: datetime | None
    error: str | None
    created_at: datetime


def enqueue(session: Session, alert: Alert, event: NotificationEvent, at: datetime) -> int:
    """Add the event for each enabled channel whose severity it reaches; return the number of new rows.

    Nothing is added for a muted station, and one event is added once per channel.
    """
    if alert.station_id is not None and mutes.current(session, alert.station_id, at) is not None:
        return 0
    rank = SEVERITIES.index(alert.severity)
    rows = [
        {"alert_id": alert.id, "channel_id": channel.id, "event": event, "tries": 0, "next_at": at, "created_at": at}
        for channel in channels.list_all(session)
        if channel.enabled and SEVERITIES.index(channel.min_severity) <= rank
    ]
    return len(insert_new(session, NotificationRow, rows, "id"))


def claim_due(session: Session, at: datetime, lease: timedelta, limit: int = 20) -> list[Notification]:
    """Claim the notifications that are due, oldest first, each with one more try; due again after `lease`."""
    due = (
        select(NotificationRow.id)
        .where(
            NotificationRow.done_at.is_(None),
            NotificationRow.next_at <= at,
            NotificationRow.channel_id.in_(select(ChannelRow.id).where(ChannelRow.enabled)),
        )
        .order_by(NotificationRow.next_at, NotificationRow.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = session.scalars(due).all()
    session.execute(
        update(NotificationRow)
        .where(NotificationRow.id.in_(ids))
        .values(tries=NotificationRow.tries + 1, next_at=at + lease)
    )
    rows = session.execute(select(*_COLUMNS).where(NotificationRow.id.in_(ids)).order_by(NotificationRow.id))
    return [Notification(*row) for row in rows]


def mark_sent(session: Session, notification_id: int, at: datetime) -> None:
    """Record that the notification was sent."""
    _change(session, notification_id, {"done_at": at, "error": None})


def mark_failed(session: Session, notification_id: int, error: str, next_at: datetime | None) -> None:
    """Record a failed attempt; it is due again at `next_at`, or given up with None."""
    _change(session, notification_id, {"error": truncate(error, 500), "next_at": next_at})


def recent(session: Session, *, alert_id: int | None = None, limit: int = 100) -> list[Notification]:
    """Return notifications, newest first."""
    query = select(*_COLUMNS).order_by(NotificationRow.id.desc()).limit(limit)
    if alert_id is not None:
        query = query.where(NotificationRow.alert_id == alert_id)
    return [Notification(*row) for row in session.execute(query)]


def count_pending(session: Session) -> int:
    """Return the number of notifications that are not sent or given up."""
    query = select(func.count()).where(NotificationRow.done_at.is_(None), NotificationRow.next_at.is_not(None))
    return session.scalar(query) or 0


_COLUMNS = columns_of(NotificationRow, Notification)


def _change(session: Session, notification_id: int, change: Mapping[str, Any]) -> None:
    session.execute(update(NotificationRow).where(NotificationRow.id == notification_id).values(**change))
