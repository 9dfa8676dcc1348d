"""The evidence of an alert as a chart."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from alerts.rules import registry
from dashboard import theme
from dashboard.alerts import evidence
from storage.alerts.alerts import Alert, AlertState, Severity
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from tests.dashboard.seeding import SeededStorage, verdict

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def an_alert(rule: str, state: AlertState = "opened", severity: Severity = "warning", number: int = 1) -> Alert:
    gone = NOON + timedelta(minutes=20) if state == "resolved" else None
    return Alert(number, 1, rule, severity, state, "m", {}, NOON, NOON, None, None, gone, None, "")


def test_the_window_of_an_alert_begins_before_it_and_never_grows_beyond_six_hours() -> None:
    since, until, bucket = evidence.window(an_alert("consecutive"), NOON + timedelta(days=3))
    assert (since, until) == (NOON - evidence.BEFORE, NOON - evidence.BEFORE + evidence.MAX_WINDOW)
    assert bucket == timedelta(minutes=3)
    since, until, bucket = evidence.window(an_alert("consecutive", "resolved"), NOON + timedelta(days=3))
    assert until == NOON + timedelta(minutes=25)
    assert bucket == timedelta(seconds=30)


@pytest.mark.parametrize("rule", [kind for kind, rule in registry.rules_by_kind().items() if rule.scope == "line"])
def test_every_alert_of_the_line_has_a_chart_or_a_reason_for_none(line: SeededStorage, s1: Station, rule: str) -> None:
    by_rule: dict[str, dict[str, object]] = {
        "growing_lag": {"lag": 900, "lag_before": 500},
        "dead_letter_burst": {"letters": 3, "reasons": {"too-large": 3}, "window_s": 600},
        "deleted_unread": {"frames": 5},
        "disk_nearly_full": {"images": 0.95},
        "scorer_down": {"for_s": 60},
    }
    facts = by_rule[rule]
    alert = Alert(1, None, rule, "warning", "opened", "m", facts, NOON, NOON, None, None, None, None, "")
    with line.database.read() as session:
        shown = evidence.read(session, alert, [s1.id], NOON, UTC, theme.LIGHT)
    if rule == "scorer_down":
        assert shown.description == evidence.NO_FRAMES
    else:
        assert shown.option is not None
    if rule == "disk_nearly_full":
        assert shown.option is not None
        assert shown.option["series"][0]["data"][0]["value"] == 95.0
        assert shown.option["series"][0]["data"][0]["itemStyle"]["color"] == theme.LIGHT.flag  # above 90 %


def test_the_chart_of_a_drift_keeps_its_opening_however_many_frames_follow(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime
) -> None:
    """At a frame a second thousands follow within half an hour; the chart has 500."""
    start = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    opened_at = start + timedelta(seconds=600.5)
    frames = [verdict(line, s1, normal_set, n, start + timedelta(seconds=n), 0.2 + n % 7 / 100) for n in range(1500)]
    line.verdicts(*frames)
    alert = replace(an_alert("score_drift"), station_id=s1.id, opened_at=opened_at)
    with line.database.read() as session:
        shown = evidence.read(session, alert, [s1.id], start + timedelta(minutes=59), UTC, theme.LIGHT)
    assert shown.option is not None
    marks = shown.option["series"][0]["markLine"]["data"]
    index = next(mark["xAxis"] for mark in marks if "xAxis" in mark)
    times = shown.option["xAxis"]["data"]
    assert len(times) == 500
    assert times[index].endswith("10:01")  # the first frame after the opening
    assert index == 500 - evidence.FRAMES_AFTER_DRIFT + 1
