"""Tables of alerts, their rules, mutes, channels and notifications."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.database.tables.base import Base, UtcDateTime


class AlertRuleRow(Base):
    """The configuration of a rule at one station, or for the whole line where the station is NULL."""

    __tablename__ = "alert_rules"
    __table_args__ = (
        Index(
            "uq_alert_rules_station",
            "station_id",
            "kind",
            unique=True,
            sqlite_where=text("station_id IS NOT NULL"),
            postgresql_where=text("station_id IS NOT NULL"),
        ),
        Index(
            "uq_alert_rules_line",
            "kind",
            unique=True,
            sqlite_where=text("station_id IS NULL"),
            postgresql_where=text("station_id IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    station_id: Mapped[int | None] = mapped_column(ForeignKey("stations.id"))
    kind: Mapped[str] = mapped_column(String(40))
    parameters: Mapped[dict[str, Any]] = mapped_column(JSON)
    enabled: Mapped[bool]


class AlertRow(Base):
    """One episode of a condition; at most one that is not resolved exists per station and rule."""

    __tablename__ = "alerts"
    __table_args__ = (
        Index(
            "uq_alerts_unresolved_station",
            "station_id",
            "rule",
            unique=True,
            sqlite_where=text("resolved_at IS NULL AND station_id IS NOT NULL"),
            postgresql_where=text("resolved_at IS NULL AND station_id IS NOT NULL"),
        ),
        Index(
            "uq_alerts_unresolved_line",
            "rule",
            unique=True,
            sqlite_where=text("resolved_at IS NULL AND station_id IS NULL"),
            postgresql_where=text("resolved_at IS NULL AND station_id IS NULL"),
        ),
        Index("ix_alerts_time", "opened_at", "id"),
        Index("ix_alerts_station_time", "station_id", "opened_at", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    station_id: Mapped[int | None] = mapped_column(ForeignKey("stations.id"))
    rule: Mapped[str] = mapped_column(String(40))
    severity: Mapped[str] = mapped_column(String(8))  # 'info', 'warning' or 'critical'
    state: Mapped[str] = mapped_column(String(12))  # 'opened', 'acknowledged' or 'resolved'
    message: Mapped[str] = mapped_column(String(500))
    evidence: Mapped[dict[str, Any]] = mapped_column(JSON)
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime)
    condition_seen_at: Mapped[datetime] = mapped_column(UtcDateTime)  # when the condition was last seen to hold
    acknowledged_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    acknowledged_by: Mapped[str | None] = mapped_column(String(64))
    resolved_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    resolved_by: Mapped[str | None] = mapped_column(String(64))  # None when the condition went by itself
    note: Mapped[str] = mapped_column(String(500))  # of the person who acknowledged or resolved it


class MuteRow(Base):
    """A time during which nobody is notified of the alerts of a station."""

    __tablename__ = "mutes"
    __table_args__ = (Index(None, "station_id", "until_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    station_id: Mapped[int] = mapped_column(ForeignKey("stations.id"))
    until_at: Mapped[datetime] = mapped_column(UtcDateTime)
    reason: Mapped[str] = mapped_column(String(500))
    muted_by: Mapped[str] = mapped_column(String(64))
    muted_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_by: Mapped[str | None] = mapped_column(String(64))
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ChannelRow(Base):
    """Where notifications are sent; the URL holds secrets and is never shown."""

    __tablename__ = "notification_channels"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    url: Mapped[str] = mapped_column(String(1000))
    enabled: Mapped[bool]
    min_severity: Mapped[str] = mapped_column(String(8))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class NotificationRow(Base):
    """One message about an alert on one channel, until it is sent or given up."""

    __tablename__ = "notifications"
    __table_args__ = (
        UniqueConstraint("alert_id", "channel_id", "event"),
        Index(
            "ix_notifications_due",
            "next_at",
            sqlite_where=text("done_at IS NULL AND next_at IS NOT NULL"),
            postgresql_where=text("done_at IS NULL AND next_at IS NOT NULL"),
        ),
        Index("ix_notifications_channel", "channel_id", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    alert_id: Mapped[int] = mapped_column(ForeignKey("alerts.id"))
    channel_id: Mapped[int] = mapped_column(ForeignKey("notification_channels.id"))
    event: Mapped[str] = mapped_column(String(12))  # 'opened', 'acknowledged' or 'resolved'
    tries: Mapped[int]
    next_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # None once it is given up
    done_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    error: Mapped[str | None] = mapped_column(String(500))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AlertWatchRow(Base):
    """Who evaluates the rules: one row, with the process that last did so and when."""

    __tablename__ = "alert_watch"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # always 1
    holder: Mapped[str] = mapped_column(String(120))
    renewed_at: Mapped[datetime] = mapped_column(UtcDateTime)
