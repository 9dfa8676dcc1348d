"""At most one alert is open per station and rule, whatever the rules return in between."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.monitor.transitions import (
    AlertKey,
    LineSnapshot,
    OpenAlert,
    ResolveAlert,
    UpdateAlert,
    evaluate_rules,
    next_change,
)
from alerts.rules.rule import Clear, Raised, RuleOutcome, Unsure
from alerts.views import StationView
from storage.alerts.alert_rules import AlertRule
from storage.alerts.alerts import Alert
from tests.alerts.examples import line_view, make_alert, station_view, verdict_events
from tests.storage.examples import NOON

KEY = (1, "k_of_n")
OUTCOMES: tuple[RuleOutcome, ...] = (Raised("six of ten"), Clear(), Unsure())


def snapshot(
    view: StationView, *settings: AlertRule, unresolved: Sequence[Alert] = (), muted: bool = False
) -> LineSnapshot:
    return LineSnapshot(
        now=view.now,
        line=line_view(view.now),
        stations={1: view},
        settings=settings,
        unresolved={(alert.station_id, alert.rule): alert for alert in unresolved},
        muted=frozenset({1} if muted else ()),
    )


@given(st.lists(st.sampled_from(OUTCOMES), max_size=60))
def test_alerts_of_one_key_never_overlap(outcomes: list[RuleOutcome]) -> None:
    alert: Alert | None = None
    for number, outcome in enumerate(outcomes):
        now = NOON + timedelta(seconds=number)
        change = next_change(KEY, "warning", alert, outcome, False, now)
        if isinstance(change, OpenAlert):
            assert alert is None
            assert isinstance(outcome, Raised)
            alert = make_alert(number, at=now)
        elif isinstance(change, ResolveAlert):
            assert change.alert is alert
            assert isinstance(outcome, Clear)
            alert = None


def test_an_unsure_rule_leaves_an_alert_unchanged() -> None:
    assert next_change(KEY, "warning", make_alert(), Unsure(), False, NOON) is None
    assert next_change(KEY, "warning", None, Unsure(), False, NOON) is None


def test_a_persisting_condition_updates_its_alert_once_per_minute() -> None:
    raised = Raised("six of ten", {"flagged": 6})
    assert next_change(KEY, "warning", make_alert(), raised, False, NOON + timedelta(seconds=59)) is None
    change = next_change(KEY, "warning", make_alert(), raised, False, NOON + timedelta(seconds=60))
    assert change == UpdateAlert(make_alert(), {"flagged": 6})


def test_a_muted_station_opens_no_alert_but_may_resolve_one() -> None:
    flagged, good = station_view(verdict_events("x" * 12)), station_view(verdict_events("." * 12))
    assert [type(change) for change in evaluate_rules(snapshot(flagged)).changes] == [OpenAlert]
    assert evaluate_rules(snapshot(flagged, muted=True)).changes == ()
    assert evaluate_rules(snapshot(good, unresolved=[make_alert()], muted=True)).changes == (
        ResolveAlert(make_alert()),
    )


def test_a_rule_of_one_station_overrides_the_rule_of_all() -> None:
    flagged = station_view(verdict_events("xxxxx"))
    disabled = AlertRule(None, "consecutive", {}, enabled=False)
    of_station = AlertRule(1, "consecutive", {"count": 5}, enabled=True)
    assert evaluate_rules(snapshot(flagged, disabled)).changes == ()
    assert [type(change) for change in evaluate_rules(snapshot(flagged, disabled, of_station)).changes] == [OpenAlert]
    assert [type(change) for change in evaluate_rules(snapshot(flagged, of_station, disabled)).changes] == [OpenAlert]


def test_an_alert_is_resolved_when_its_rule_is_disabled() -> None:
    disabled = AlertRule(1, "k_of_n", {}, enabled=False)
    changes = evaluate_rules(
        snapshot(station_view(verdict_events("x" * 12)), disabled, unresolved=[make_alert()])
    ).changes
    assert ResolveAlert(make_alert()) in changes


def test_an_invalid_rule_is_reported_and_stops_no_other() -> None:
    invalid = AlertRule(1, "k_of_n", {"k": 99}, enabled=True)
    transitions = evaluate_rules(snapshot(station_view(verdict_events("xxxxx")), invalid, unresolved=[make_alert()]))
    assert len(transitions.problems) == 1
    assert "s1" in transitions.problems[0]
    assert [type(change) for change in transitions.changes] == [
        OpenAlert
    ]  # the other rule's; the wrong one's stays open


def test_handled_frames_open_no_alert() -> None:
    view = station_view(verdict_events("xxxxx....."))
    unhandled = snapshot(view)
    assert [type(change) for change in evaluate_rules(unhandled).changes] == [OpenAlert]
    handled_until: dict[AlertKey, datetime] = {(1, "consecutive"): view.frames[5].captured_at}
    assert evaluate_rules(replace(unhandled, handled_until=handled_until)).changes == ()


@pytest.mark.parametrize("muted", [False, True])
def test_a_healthy_station_changes_nothing(muted: bool) -> None:
    assert evaluate_rules(snapshot(station_view(verdict_events("." * 40)), muted=muted)).changes == ()


def test_consecutive_flagged_parts_open_one_alert_though_three_rules_match() -> None:
    view = station_view(verdict_events("." * 40 + "x" * 60))
    (change,) = evaluate_rules(snapshot(view)).changes
    assert isinstance(change, OpenAlert)
    assert change.key == (1, "consecutive")
    still_open = snapshot(view, unresolved=[make_alert(rule="consecutive", at=view.now)])
    assert evaluate_rules(still_open).changes == ()
    resolved = replace(snapshot(view), handled_until={(1, "consecutive"): view.now})
    assert evaluate_rules(resolved).changes == ()
