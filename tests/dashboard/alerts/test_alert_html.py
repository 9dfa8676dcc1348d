"""Alerts as HTML."""

from datetime import UTC, datetime, timedelta

from dashboard.alerts import alert_html
from storage.alerts.alerts import Alert, AlertState, Severity
from storage.alerts.notifications import Notification

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def an_alert(rule: str, state: AlertState = "opened", severity: Severity = "warning", number: int = 1) -> Alert:
    gone = NOON + timedelta(minutes=20) if state == "resolved" else None
    return Alert(number, 1, rule, severity, state, "m", {}, NOON, NOON, None, None, gone, None, "")


def test_alerts_are_sorted_by_state_then_by_severity() -> None:
    found = [
        an_alert("k_of_n", "resolved", "critical", 1),
        an_alert("k_of_n", "acknowledged", "critical", 2),
        an_alert("k_of_n", "opened", "warning", 3),
        an_alert("k_of_n", "opened", "critical", 4),
    ]
    assert [alert.id for alert in alert_html.by_urgency(found)] == [4, 3, 2, 1]


def test_the_timeline_lists_notifications_and_failures_in_order() -> None:
    told = [
        Notification(1, 1, 7, "opened", 2, None, NOON + timedelta(seconds=9), None, NOON),
        Notification(2, 1, 8, "opened", 12, None, None, "no answer", NOON + timedelta(seconds=1)),
    ]
    content = alert_html.timeline(an_alert("k_of_n", "resolved"), told, {7: "chat"}, UTC)
    order = ["notifications_active", "a removed channel", "chat", "Resolved"]
    assert [content.index(step) for step in order] == sorted(content.index(step) for step in order)


def test_text_from_outside_is_escaped() -> None:
    hostile = Alert(1, 1, "<b>x", "info", "opened", "<script>", {}, NOON, NOON, NOON, "<i>", None, None, "<u>")
    for html in (
        alert_html.list_item(hostile, "<s>", NOON, selected=True),
        alert_html.title(hostile, "<s>"),
        alert_html.timeline(hostile, [], {}, UTC),
        alert_html.badge([hostile]),
    ):
        for sign in ("<script>", "<b>x", "<i>", "<u>", "<s>"):
            assert sign not in html
