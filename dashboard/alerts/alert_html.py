"""Alerts in words and small pieces of HTML: pure functions of rows; whatever came from outside is escaped."""

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from html import escape

from dashboard import formatting
from dashboard.alerts import effective_rules
from dashboard.components import elements
from storage.alerts.alerts import SEVERITIES, Alert
from storage.alerts.notifications import Notification

LINE = "The line"
SEVERITY = {"critical": ("bad", "error"), "warning": ("warn", "warning"), "info": ("idle", "info")}
STATE = {
    "opened": ("notifications_active", "open"),
    "acknowledged": ("visibility", "acknowledged"),
    "resolved": ("check", "resolved"),
}


def in_order(found: Sequence[Alert]) -> list[Alert]:
    """Open ones before those acknowledged before those resolved; the gravest first, then the newest."""
    states = list(STATE)
    return sorted(
        found,
        key=lambda one: (states.index(one.state), -SEVERITIES.index(one.severity), -one.opened_at.timestamp(), -one.id),
    )


def item(alert: Alert, place: str, now: datetime, chosen: bool) -> str:
    """One line of the list; `data-chosen` marks the one that is looked at."""
    tone, symbol = SEVERITY[alert.severity]
    mark, state = STATE[alert.state]
    who = f" by {escape(alert.acknowledged_by)}" if alert.state == "acknowledged" and alert.acknowledged_by else ""
    return (
        f'<div class="andon-alert {tone}" data-alert="{alert.id}" data-state="{alert.state}" '
        f'data-chosen="{str(chosen).lower()}">'
        f"{elements.icon(symbol if alert.state != 'resolved' else 'check_circle')}"
        f"<div><b>{escape(effective_rules.label(alert.rule))}</b> <span>{escape(place)}</span>"
        f"<p>{escape(alert.message)}</p></div>"
        f"<small>{formatting.ago(alert.opened_at, now)}<br>{elements.icon(mark)} {state}{who}</small></div>"
    )


def head(alert: Alert, place: str) -> str:
    """The chosen alert's name, how grave it is, and its sentence."""
    tone, symbol = SEVERITY[alert.severity]
    return (
        f'<div class="andon-title"><h1>{escape(effective_rules.label(alert.rule))}</h1>'
        f'<span class="andon-chip {tone}">{elements.icon(symbol)}{alert.severity}</span>'
        f"<span>{escape(place)}</span></div><p>{escape(alert.message)}</p>"
    )


def timeline(alert: Alert, told: Sequence[Notification], channels: Mapping[int, str], zone: tzinfo) -> str:
    """The episode from its opening to its end, with who did what and who was told, oldest first."""
    steps: list[tuple[datetime, str, str]] = [(alert.opened_at, "notifications_active", "Opened")]
    if alert.resolved_at is None and alert.condition_seen_at > alert.opened_at:
        steps.append((alert.condition_seen_at, "update", "Still holds"))
    if alert.acknowledged_at is not None:
        steps.append((alert.acknowledged_at, "visibility", f"Acknowledged by {alert.acknowledged_by}"))
    if alert.resolved_at is not None:
        by = f"by {alert.resolved_by}" if alert.resolved_by else "by itself: its condition was gone"
        steps.append((alert.resolved_at, "check", f"Resolved {by}"))
    steps += [
        (one.done_at or one.created_at, "send", _told(one, channels.get(one.channel_id, "a removed channel")))
        for one in told
    ]
    rows = "".join(
        f"<li>{elements.icon(symbol)}<span>{escape(said)}</span><time>{formatting.moment(at, zone)[:-4]}</time></li>"
        for at, symbol, said in sorted(steps, key=lambda step: step[0])
    )
    note = f"<p>{escape(alert.note)}</p>" if alert.note else ""
    return f'<ol class="andon-timeline">{rows}</ol>{note}'


def badge(found: Sequence[Alert]) -> str:
    """How many alerts a station has open, for its tile; nothing where there is none."""
    if not found:
        return ""
    gravest = max(found, key=lambda one: SEVERITIES.index(one.severity))
    tone, symbol = SEVERITY[gravest.severity]
    more = f" +{len(found) - 1}" if len(found) > 1 else ""
    title = escape("; ".join(one.message for one in found))
    return (
        f'<span class="andon-badge {tone}" title="{title}">{elements.icon(symbol)}'
        f"{escape(effective_rules.label(gravest.rule))}{more}</span>"
    )


def sentence(text: str) -> str:
    """Plain text as HTML."""
    return f"<span>{escape(text)}</span>"


def _told(one: Notification, channel: str) -> str:
    if one.done_at is not None:
        return f"{channel} was told: {one.event}"
    if one.next_at is None:
        return (
            f"{channel} could not be told ({one.error}); given up after {formatting.plural(one.tries, 'try', 'tries')}"
        )
    if one.tries == 0:
        return f"{channel} is to be told: {one.event}"
    why = f" ({one.error})" if one.error else ""
    return f"{channel} is to be told: {one.event}, {formatting.plural(one.tries, 'try', 'tries')} so far{why}"
