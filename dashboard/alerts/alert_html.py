"""Alerts as HTML: pure functions of rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from markupsafe import Markup

from dashboard import formatting
from dashboard.alerts import effective_rules
from dashboard.html import render
from storage.alerts.alerts import SEVERITIES, Alert
from storage.alerts.mutes import Mute
from storage.alerts.notifications import Notification

TEMPLATE = "alerts/alerts.html"
LINE = "The line"


@dataclass(frozen=True, slots=True)
class SeverityStyle:
    """How a severity is shown: a CSS class and a Material symbol."""

    tone: str
    symbol: str


@dataclass(frozen=True, slots=True)
class StateStyle:
    """How the state of an alert is shown: a Material symbol and a label."""

    symbol: str
    text: str


@dataclass(frozen=True, slots=True)
class TimelineStep:
    """One line of an alert's timeline."""

    at: datetime
    symbol: str
    text: str
    time: str


SEVERITY_STYLES = {
    "critical": SeverityStyle("bad", "error"),
    "warning": SeverityStyle("warn", "warning"),
    "info": SeverityStyle("idle", "info"),
}
STATE_STYLES = {
    "opened": StateStyle("notifications_active", "open"),
    "acknowledged": StateStyle("visibility", "acknowledged"),
    "resolved": StateStyle("check", "resolved"),
}


def by_urgency(alerts: Sequence[Alert]) -> list[Alert]:
    """Sort alerts: open, acknowledged, resolved; within those the most severe first, then the newest."""
    states = list(STATE_STYLES)
    return sorted(
        alerts,
        key=lambda alert: (
            states.index(alert.state),
            -SEVERITIES.index(alert.severity),
            -alert.opened_at.timestamp(),
            -alert.id,
        ),
    )


def list_item(alert: Alert, scope: str, now: datetime, *, selected: bool) -> Markup:
    """Return one line of the list of alerts; `scope` is the station's name, or `LINE`."""
    return render(
        TEMPLATE,
        "list_item",
        alert,
        SEVERITY_STYLES[alert.severity],
        STATE_STYLES[alert.state],
        effective_rules.name(alert.rule),
        scope,
        formatting.ago(alert.opened_at, now),
        selected,
    )


def title(alert: Alert, scope: str) -> Markup:
    """Return the name, severity and message of an alert in large type."""
    return render(TEMPLATE, "title", alert, SEVERITY_STYLES[alert.severity], effective_rules.name(alert.rule), scope)


def timeline(alert: Alert, sent: Sequence[Notification], channels: Mapping[int, str], zone: tzinfo) -> Markup:
    """Return the history of an alert, oldest first: the actions of people and the notifications that were sent.

    Args:
        alert: The alert.
        sent: Its notifications.
        channels: Channel id → name, of the channels that exist.
        zone: The time zone to show times in.
    """

    def step(at: datetime, symbol: str, text: str) -> TimelineStep:
        return TimelineStep(at, symbol, text, formatting.date_and_time(at, zone))

    steps = [step(alert.opened_at, "notifications_active", "Opened")]
    if alert.resolved_at is None and alert.condition_seen_at > alert.opened_at:
        steps.append(step(alert.condition_seen_at, "update", "Condition still true"))
    if alert.acknowledged_at is not None:
        steps.append(step(alert.acknowledged_at, "visibility", f"Acknowledged by {alert.acknowledged_by}"))
    if alert.resolved_at is not None:
        by = f"by {alert.resolved_by}" if alert.resolved_by else "automatically: its condition is no longer true"
        steps.append(step(alert.resolved_at, "check", f"Resolved {by}"))
    steps += [
        step(
            notification.done_at or notification.created_at,
            "send",
            notification_text(notification, channels.get(notification.channel_id, "a removed channel")),
        )
        for notification in sent
    ]
    return render(TEMPLATE, "timeline", sorted(steps, key=lambda each: each.at), alert.note)


def notification_text(notification: Notification, channel: str) -> str:
    """Return the delivery state of a notification on a channel, as text."""
    event, tries = notification.event, formatting.plural(notification.tries, "attempt")
    if notification.done_at is not None:
        return f"Sent to {channel}: {event}"
    error = f" ({notification.error})" if notification.error else ""
    if notification.next_at is None:
        return f"Not sent to {channel}: {event}, failed after {tries}{error}"
    if notification.tries == 0:
        return f"Queued for {channel}: {event}"
    return f"Queued for {channel}: {event}, {tries} so far{error}"


def badge(alerts: Sequence[Alert]) -> Markup:
    """Return the most severe of a station's alerts and how many more there are; nothing without alerts."""
    if not alerts:
        return Markup("")
    worst = max(alerts, key=lambda alert: SEVERITIES.index(alert.severity))
    messages = [alert.message for alert in alerts]
    style, rule = SEVERITY_STYLES[worst.severity], effective_rules.name(worst.rule)
    return render(TEMPLATE, "badge", style, rule, len(alerts) - 1, messages)


def muted(station: str, mute: Mute, now: datetime, zone: tzinfo) -> Markup:
    """Return that a station is muted: until when, by whom and why."""
    until = formatting.clock(mute.until_at, now, zone)
    return render(TEMPLATE, "muted", f"{station} until {until} by {mute.muted_by}: {mute.reason}")
