"""One alert an episode, whatever the rules say in between."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.episodes import Holding, Moment, Opening, Place, Resolving, decide, next_change
from alerts.rules.rule import Clear, Outcome, Raised, Unsure
from alerts.views import StationView
from storage.alert_rules import AlertRule
from storage.alerts import Alert
from tests.alerts.examples import an_alert, frames, line, station
from tests.storage.examples import NOON

PLACE = (1, "k_of_n")
OUTCOMES: tuple[Outcome, ...] = (Raised("six of ten"), Clear(), Unsure())


def moment(view: StationView, *settings: AlertRule, unresolved: Sequence[Alert] = (), muted: bool = False) -> Moment:
    return Moment(
        now=view.now,
        line=line(view.now),
        stations={1: view},
        settings=settings,
        unresolved={(alert.station_id, alert.rule): alert for alert in unresolved},
        muted=frozenset({1} if muted else ()),
    )


@given(st.lists(st.sampled_from(OUTCOMES), max_size=60))
def test_alerts_of_one_place_never_overlap(said: list[Outcome]) -> None:
    alert: Alert | None = None
    for number, outcome in enumerate(said):
        now = NOON + timedelta(seconds=number)
        change = next_change(PLACE, "warning", alert, outcome, False, now)
        if isinstance(change, Opening):
            assert alert is None
            assert isinstance(outcome, Raised)
            alert = an_alert(number, at=now)
        elif isinstance(change, Resolving):
            assert change.alert is alert
            assert isinstance(outcome, Clear)
            alert = None


def test_a_rule_that_is_unsure_leaves_an_alert_as_it_is() -> None:
    assert next_change(PLACE, "warning", an_alert(), Unsure(), False, NOON) is None
    assert next_change(PLACE, "warning", None, Unsure(), False, NOON) is None


def test_that_a_condition_holds_on_is_written_down_once_a_minute() -> None:
    raised = Raised("six of ten", {"flagged": 6})
    assert next_change(PLACE, "warning", an_alert(), raised, False, NOON + timedelta(seconds=59)) is None
    held = next_change(PLACE, "warning", an_alert(), raised, False, NOON + timedelta(seconds=60))
    assert held == Holding(an_alert(), {"flagged": 6})


def test_a_muted_station_opens_nothing_and_may_still_resolve() -> None:
    flagged, good = station(frames("x" * 12)), station(frames("." * 12))
    assert [type(change) for change in decide(moment(flagged)).changes] == [Opening]
    assert decide(moment(flagged, muted=True)).changes == ()
    assert decide(moment(good, unresolved=[an_alert()], muted=True)).changes == (Resolving(an_alert()),)


def test_a_rule_is_set_for_all_stations_and_apart_for_one() -> None:
    flagged = station(frames("xxxxx"))
    off = AlertRule(None, "consecutive", {}, enabled=False)
    own = AlertRule(1, "consecutive", {"count": 5}, enabled=True)
    assert decide(moment(flagged, off)).changes == ()
    assert [type(change) for change in decide(moment(flagged, off, own)).changes] == [Opening]
    assert [type(change) for change in decide(moment(flagged, own, off)).changes] == [Opening]


def test_an_alert_whose_rule_is_switched_off_is_resolved() -> None:
    off = AlertRule(1, "k_of_n", {}, enabled=False)
    changes = decide(moment(station(frames("x" * 12)), off, unresolved=[an_alert()])).changes
    assert Resolving(an_alert()) in changes


def test_a_rule_that_is_set_wrongly_is_a_problem_in_words_and_stops_no_other() -> None:
    wrong = AlertRule(1, "k_of_n", {"k": 99}, enabled=True)
    decided = decide(moment(station(frames("xxxxx")), wrong, unresolved=[an_alert()]))
    assert len(decided.problems) == 1
    assert decided.problems[0].startswith("A rule of s1 is not watched: k and n")
    assert [type(change) for change in decided.changes] == [Opening]  # the other rule's; the wrong one's stays open


def test_what_was_dealt_with_before_opens_nothing() -> None:
    view = station(frames("xxxxx....."))
    at_once = moment(view)
    assert [type(change) for change in decide(at_once).changes] == [Opening]
    past: dict[Place, datetime] = {(1, "consecutive"): view.frames[5].captured_at}
    assert decide(replace(at_once, past=past)).changes == ()


@pytest.mark.parametrize("muted", [False, True])
def test_a_station_that_is_well_changes_nothing(muted: bool) -> None:
    assert decide(moment(station(frames("." * 40)), muted=muted)).changes == ()


def test_flagged_parts_in_a_row_are_one_alert_though_three_rules_see_them() -> None:
    view = station(frames("." * 40 + "x" * 60))
    (change,) = decide(moment(view)).changes
    assert isinstance(change, Opening)
    assert change.place == (1, "consecutive")
    going_on = moment(view, unresolved=[an_alert(rule="consecutive", at=view.now)])
    assert decide(going_on).changes == ()
    resolved = replace(moment(view), past={(1, "consecutive"): view.now})
    assert decide(resolved).changes == ()
