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
from tests.alerts.examples import an_alert, frames, line, station
from tests.storage.examples import NOON

KEY = (1, "k_of_n")
OUTCOMES: tuple[RuleOutcome, ...] = (Raised("six of ten"), Clear(), Unsure())


def snapshot(
    view: StationView, *settings: AlertRule, unresolved: Sequence[Alert] = (), muted: bool = False
) -> LineSnapshot:
    return LineSnapshot(
        now=view.now,
        line=line(view.now),
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
            alert = an_alert(number, at=now)
        elif isinstance(change, ResolveAlert):
            assert change.alert is alert
            assert isinstance(outcome, Clear)
            alert = None


def test_a_rule_that_is_unsure_leaves_an_alert_as_it_is() -> None:
    assert next_change(KEY, "warning", an_alert(), Unsure(), False, NOON) is None
    assert next_change(KEY, "warning", None, Unsure(), False, NOON) is None


def test_that_a_condition_holds_on_is_written_down_once_a_minute() -> None:
    raised = Raised("six of ten", {"flagged": 6})
    assert next_change(KEY, "warning", an_alert(), raised, False, NOON + timedelta(seconds=59)) is None
    held = next_change(KEY, "warning", an_alert(), raised, False, NOON + timedelta(seconds=60))
    assert held == UpdateAlert(an_alert(), {"flagged": 6})


def test_a_muted_station_opens_nothing_and_may_still_resolve() -> None:
    flagged, good = station(frames("x" * 12)), station(frames("." * 12))
    assert [type(change) for change in evaluate_rules(snapshot(flagged)).changes] == [OpenAlert]
    assert evaluate_rules(snapshot(flagged, muted=True)).changes == ()
    assert evaluate_rules(snapshot(good, unresolved=[an_alert()], muted=True)).changes == (ResolveAlert(an_alert()),)


def test_a_rule_is_set_for_all_stations_and_apart_for_one() -> None:
    flagged = station(frames("xxxxx"))
    off = AlertRule(None, "consecutive", {}, enabled=False)
    own = AlertRule(1, "consecutive", {"count": 5}, enabled=True)
    assert evaluate_rules(snapshot(flagged, off)).changes == ()
    assert [type(change) for change in evaluate_rules(snapshot(flagged, off, own)).changes] == [OpenAlert]
    assert [type(change) for change in evaluate_rules(snapshot(flagged, own, off)).changes] == [OpenAlert]


def test_an_alert_whose_rule_is_switched_off_is_resolved() -> None:
    off = AlertRule(1, "k_of_n", {}, enabled=False)
    changes = evaluate_rules(snapshot(station(frames("x" * 12)), off, unresolved=[an_alert()])).changes
    assert ResolveAlert(an_alert()) in changes


def test_a_rule_that_is_set_wrongly_is_reported_and_stops_no_other() -> None:
    wrong = AlertRule(1, "k_of_n", {"k": 99}, enabled=True)
    transitions = evaluate_rules(snapshot(station(frames("xxxxx")), wrong, unresolved=[an_alert()]))
    assert len(transitions.problems) == 1
    assert "s1" in transitions.problems[0]
    assert [type(change) for change in transitions.changes] == [
        OpenAlert
    ]  # the other rule's; the wrong one's stays open


def test_what_was_dealt_with_before_opens_nothing() -> None:
    view = station(frames("xxxxx....."))
    at_once = snapshot(view)
    assert [type(change) for change in evaluate_rules(at_once).changes] == [OpenAlert]
    past: dict[AlertKey, datetime] = {(1, "consecutive"): view.frames[5].captured_at}
    assert evaluate_rules(replace(at_once, handled_until=past)).changes == ()


@pytest.mark.parametrize("muted", [False, True])
def test_a_station_that_is_well_changes_nothing(muted: bool) -> None:
    assert evaluate_rules(snapshot(station(frames("." * 40)), muted=muted)).changes == ()


def test_flagged_parts_in_a_row_are_one_alert_though_three_rules_see_them() -> None:
    view = station(frames("." * 40 + "x" * 60))
    (change,) = evaluate_rules(snapshot(view)).changes
    assert isinstance(change, OpenAlert)
    assert change.key == (1, "consecutive")
    going_on = snapshot(view, unresolved=[an_alert(rule="consecutive", at=view.now)])
    assert evaluate_rules(going_on).changes == ()
    resolved = replace(snapshot(view), handled_until={(1, "consecutive"): view.now})
    assert evaluate_rules(resolved).changes == ()
