"""The rule on a wrong clock, and the other rules' independence of it."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from alerts.rules.consecutive import Consecutive
from alerts.rules.flagged_share import FlaggedShare
from alerts.rules.k_of_n import KOfN
from alerts.rules.rule import Clear, Raised, Unsure
from alerts.rules.silent_camera import SilentCamera
from alerts.rules.wrong_clock import WrongClock
from alerts.views import ALERT_HORIZON
from storage.alerts.rule_inputs import VerdictEvent
from tests.alerts.examples import SECOND, station_view, verdict_event, verdict_events
from tests.alerts.rules.test_rules import outcome_of
from tests.storage.examples import NOON


def stamped(number: int, ahead: timedelta | None) -> VerdictEvent:
    """Return frame `number`, stamped with a time that lies `ahead` of its arrival where that can't be true."""
    frame = verdict_event(number)
    return replace(frame, stamped_at=None if ahead is None else frame.arrived_at + ahead)


def test_one_time_that_can_not_be_true_raises_and_ten_that_can_clear() -> None:
    wrong = [stamped(0, None), stamped(1, timedelta(hours=3))]
    outcome = WrongClock().evaluate(station_view(wrong))
    assert isinstance(outcome, Raised)
    assert (outcome.evidence["frames"], outcome.evidence["ahead_s"]) == (1, 10_800)
    right = [stamped(number, None) for number in range(2, 12)]
    assert outcome_of(WrongClock(), station_view([*wrong, *right[:9]], is_open=True)) is Raised
    assert outcome_of(WrongClock(), station_view([*wrong, *right], is_open=True)) is Clear
    assert outcome_of(WrongClock(), station_view(right)) is Clear
    assert outcome_of(WrongClock(), station_view(right[:9])) is Unsure


def test_a_time_of_publishing_after_the_decision_is_a_wrong_clock_too() -> None:
    frame = verdict_event(0)
    ahead = [replace(frame, published_at=frame.decided_at + seconds * SECOND) for seconds in (60, 61)]
    assert outcome_of(WrongClock(), station_view(ahead[:1])) is Unsure
    outcome = WrongClock().evaluate(station_view(ahead))
    assert isinstance(outcome, Raised)
    assert outcome.evidence["ahead_s"] == 61


def test_a_wrong_time_an_hour_ago_is_history() -> None:
    wrong = [stamped(0, timedelta(days=-400))]
    assert outcome_of(WrongClock(), station_view(wrong, now=NOON + ALERT_HORIZON)) is Raised
    assert outcome_of(WrongClock(), station_view(wrong, now=NOON + ALERT_HORIZON + SECOND)) is Unsure


@given(st.lists(st.sampled_from("x."), min_size=1, max_size=40), st.lists(st.integers(-400, 400), min_size=40))
def test_rules_on_frames_in_a_row_do_not_depend_on_the_cameras_clock(flags: list[str], stamps: list[int]) -> None:
    rows = verdict_events("".join(flags))
    moved = [
        replace(row, captured_at=row.captured_at + timedelta(hours=h)) for row, h in zip(rows, stamps, strict=False)
    ]
    for rule in (Consecutive(), KOfN(), FlaggedShare(), SilentCamera()):
        for since in (None, rows[len(rows) // 2].arrived_at):
            assert rule.evaluate(station_view(moved, since=since)) == rule.evaluate(station_view(rows, since=since))
