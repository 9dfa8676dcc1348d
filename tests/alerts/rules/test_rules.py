"""Each rule raises when it should, clears later than it raised, and is unsure when it can't know."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.errors import InvalidParameters, UnknownRule
from alerts.rules import registry
from alerts.rules.bad_pictures import BadPictures
from alerts.rules.consecutive import Consecutive
from alerts.rules.flagged_share import FlaggedShare
from alerts.rules.k_of_n import KOfN
from alerts.rules.old_normal_set import OldNormalSet
from alerts.rules.operation.dead_letter_burst import DeadLetterBurst
from alerts.rules.operation.deleted_unread import DeletedUnread
from alerts.rules.operation.disk_nearly_full import DiskNearlyFull
from alerts.rules.operation.growing_lag import GrowingLag
from alerts.rules.operation.scorer_down import ScorerDown
from alerts.rules.rule import Clear, Raised, RuleOutcome, Unsure
from alerts.rules.score_drift import ScoreDrift
from alerts.rules.silent_camera import SilentCamera
from alerts.rules.western_electric import WesternElectric
from alerts.views import ALERT_HORIZON, DiskUsage, LineSample, LineView, StationView
from storage.alerts.rule_inputs import DeadLetterEvent, DropEvent
from tests.alerts.examples import (
    SECOND,
    bad_picture_event,
    good_verdict_events,
    line_view,
    station_view,
    verdict_event,
    verdict_events,
)
from tests.storage.examples import NOON

STATION_RULES = [rule for rule in registry.RULES if rule.scope == "station"]
LINE_RULES = [rule for rule in registry.RULES if rule.scope == "line"]


def outcome_of(rule: Any, view: StationView | LineView) -> type[RuleOutcome]:
    outcome: RuleOutcome = rule.evaluate(view)
    return type(outcome)


def test_five_consecutive_flagged_frames_raise_and_four_do_not() -> None:
    assert outcome_of(Consecutive(), station_view(verdict_events("..xxxx"))) is Unsure
    assert outcome_of(Consecutive(), station_view(verdict_events("..xxxxx"))) is Raised
    assert (
        outcome_of(Consecutive(), station_view(verdict_events("..xxxxx.."))) is Raised
    )  # an evaluation every few seconds must not miss it
    assert outcome_of(Consecutive(), station_view(verdict_events("..xxxxx....."), is_open=True)) is Clear


def test_a_good_part_resets_the_consecutive_count() -> None:
    assert outcome_of(Consecutive(), station_view(verdict_events("xxxx.xxxx"))) is Unsure


def test_k_of_n_raises_within_its_window_and_clears_at_its_lower_limit() -> None:
    rule = KOfN(k=3, n=5, clear=1)
    assert outcome_of(rule, station_view(verdict_events("x.x.."))) is Unsure
    assert outcome_of(rule, station_view(verdict_events("x.x.x"))) is Raised
    assert outcome_of(rule, station_view(verdict_events("x.x.x.."))) is Raised
    assert outcome_of(rule, station_view(verdict_events("x.x.x.."), is_open=True)) is Raised
    assert outcome_of(rule, station_view(verdict_events("x.x.x...."), is_open=True)) is Clear
    assert outcome_of(rule, station_view(verdict_events("x..x..x"))) is Unsure


def test_frames_before_the_horizon_raise_nothing() -> None:
    rows = verdict_events("xxxxxx")
    for rule in (Consecutive(), KOfN()):
        assert outcome_of(rule, station_view([*rows, *verdict_events("....", 6)], now=NOON + ALERT_HORIZON)) is Raised
        late = rows[-1].captured_at + ALERT_HORIZON + SECOND
        assert outcome_of(rule, station_view(rows, now=late)) is not Raised


def test_handled_frames_raise_nothing() -> None:
    rows = verdict_events("xxxxxx....")
    since = rows[5].captured_at
    assert outcome_of(Consecutive(), station_view(rows)) is Raised
    assert outcome_of(Consecutive(), station_view(rows, since=since)) is not Raised
    assert outcome_of(KOfN(), station_view(rows, since=since)) is not Raised


def test_the_confidence_interval_of_a_flagged_share_must_be_above_the_limit() -> None:
    rule = FlaggedShare(window_frames=100, limit=0.2, clear=0.1)
    assert outcome_of(rule, station_view(verdict_events("x" * 24))) is Unsure  # other rules cover these
    assert (
        outcome_of(rule, station_view(verdict_events("x..." * 25))) is Unsure
    )  # 25 %: its interval reaches from 17.5 to 34.3 %
    assert outcome_of(rule, station_view(verdict_events("x.." * 33))) is Raised  # 33 %: from 24.8 to 43.1 %
    assert outcome_of(rule, station_view(verdict_events("." * 95 + "xxxxx"))) is Clear
    assert outcome_of(rule, station_view(verdict_events("." * 40))) is Unsure  # less than half a window


def test_bad_pictures_are_no_evidence_on_the_parts() -> None:
    assert outcome_of(Consecutive(), station_view(verdict_events("xxbbxxbx"))) is Raised
    assert outcome_of(Consecutive(), station_view(verdict_events("xxxxxbbbbbbbb"), is_open=True)) is Raised
    assert outcome_of(KOfN(k=3, n=5, clear=1), station_view(verdict_events("xbbxbbx.."))) is Raised
    share = FlaggedShare(window_frames=100, limit=0.2, clear=0.1)
    assert outcome_of(share, station_view(verdict_events("x..b" * 33))) is Raised  # of 99 scored frames, as above
    assert outcome_of(share, station_view(verdict_events("." * 49 + "b" * 60))) is Unsure


def test_three_of_ten_bad_pictures_raise_and_ten_good_ones_clear() -> None:
    rule = BadPictures()
    assert outcome_of(rule, station_view(verdict_events("..bb......"))) is Unsure
    assert outcome_of(rule, station_view(verdict_events(".........."))) is Clear
    assert outcome_of(rule, station_view(verdict_events("bbb"))) is Raised
    assert outcome_of(rule, station_view(verdict_events("b..xb...b"))) is Raised
    assert outcome_of(rule, station_view(verdict_events("bbb..........."), is_open=True)) is Clear
    assert outcome_of(rule, station_view(verdict_events("bbb......b.."), is_open=True)) is Raised
    rows = verdict_events("bbb")
    assert outcome_of(rule, station_view(rows, now=rows[-1].captured_at + ALERT_HORIZON + SECOND)) is not Raised


def test_bad_pictures_are_reported_with_their_commonest_reason() -> None:
    rows = [bad_picture_event(number, problem) for number, problem in enumerate(("blurred", "dark", "blurred"))]
    outcome = BadPictures().evaluate(station_view(rows))
    assert isinstance(outcome, Raised)
    assert outcome.evidence == {"bad_pictures": 3, "n": 10, "reasons": {"blurred": 2, "dark": 1}}


def test_scores_of_good_parts_that_rise_by_half_are_a_drift() -> None:
    before = good_verdict_events(300)
    assert (
        outcome_of(ScoreDrift(), station_view([*before, *good_verdict_events(100, 0, 2, 300)], in_control=before))
        is Clear
    )
    outcome = ScoreDrift().evaluate(station_view([*before, *good_verdict_events(30, 2, 2, 300)], in_control=before))
    assert isinstance(outcome, Raised)
    assert outcome.evidence["charts"] == ["CUSUM", "EWMA"]
    assert outcome.evidence["factor"] == pytest.approx(1.49, abs=0.1)  # e^(2 · 0.2)
    assert "rising" in outcome.message


def test_falling_scores_are_a_drift() -> None:
    before = good_verdict_events(300)
    outcome = ScoreDrift().evaluate(station_view([*before, *good_verdict_events(30, -2, 2, 300)], in_control=before))
    assert isinstance(outcome, Raised)
    assert "falling" in outcome.message


def test_a_drift_clears_when_the_average_is_well_within_its_limits() -> None:
    before, faded = good_verdict_events(300), good_verdict_events(30, 2, 2, 300)
    new_lamp = good_verdict_events(40, 0, 3, 330)
    rows = [*before, *faded, *new_lamp]
    assert outcome_of(ScoreDrift(), station_view(rows[:340], in_control=before, is_open=True)) is Raised
    assert outcome_of(ScoreDrift(), station_view(rows, in_control=before, is_open=True)) is Clear


def test_drift_is_not_evaluated_before_the_in_control_period_is_complete() -> None:
    assert (
        outcome_of(ScoreDrift(), station_view(good_verdict_events(299), in_control=good_verdict_events(299))) is Unsure
    )
    assert (
        outcome_of(WesternElectric(), station_view(good_verdict_events(299), in_control=good_verdict_events(299)))
        is Unsure
    )


def test_scores_of_defects_and_of_other_models_are_no_drift() -> None:
    before = good_verdict_events(300)
    defects = [verdict_event(300 + number, flagged=True, score=9.0) for number in range(40)]
    others = [replace(verdict_event(300 + number, score=9.0), model_id="other") for number in range(40)]
    for rows in (defects, others):
        assert outcome_of(ScoreDrift(), station_view([*before, *rows], in_control=before)) is Unsure


def test_constant_scores_have_no_control_limits() -> None:
    constant = [verdict_event(number) for number in range(400)]
    assert outcome_of(ScoreDrift(), station_view(constant, in_control=constant[:300])) is Unsure


def test_western_electric_names_the_violated_rules() -> None:
    before = good_verdict_events(300)
    in_control = [verdict_event(300 + number, score=before[number].score or 0) for number in range(3)]
    outcome = WesternElectric().evaluate(
        station_view([*before, *in_control, *good_verdict_events(8, 1.5, 4, 303)], in_control=before)
    )
    assert isinstance(outcome, Raised)
    assert set(outcome.evidence["rules"]) <= {"WE1", "WE2", "WE3", "WE4"}
    assert not registry.rules_by_kind()["western_electric"].on_by_default


def test_a_camera_is_silent_when_other_stations_were_scored_past_its_time_limit() -> None:
    rows = verdict_events("...")
    published_at = rows[-1].published_at
    assert outcome_of(SilentCamera(), station_view(rows, decided_until=published_at + 60 * SECOND)) is Unsure
    assert outcome_of(SilentCamera(), station_view(rows, decided_until=published_at + 61 * SECOND)) is Raised
    assert outcome_of(SilentCamera(), station_view(rows, decided_until=published_at + 59 * SECOND)) is Clear
    assert outcome_of(SilentCamera(after_s=5), station_view(rows, decided_until=published_at + 6 * SECOND)) is Raised


def test_a_slow_or_stopped_scorer_makes_no_camera_silent() -> None:
    rows = verdict_events("...")
    hours_later = rows[-1].decided_at + timedelta(hours=3)
    slow = station_view(rows, now=hours_later, decided_until=rows[-1].published_at)
    assert outcome_of(SilentCamera(), slow) is Clear
    assert outcome_of(SilentCamera(), replace(slow, decided_until=None)) is Unsure


def test_a_camera_without_any_frame_is_new_and_not_silent() -> None:
    assert outcome_of(SilentCamera(), station_view()) is Unsure


def test_silence_is_measured_from_the_last_resolution() -> None:
    rows = verdict_events("...")
    resolved = rows[-1].published_at + 100 * SECOND
    assert (
        outcome_of(SilentCamera(), station_view(rows, since=resolved, decided_until=resolved + 30 * SECOND))
        is not Raised
    )
    assert (
        outcome_of(SilentCamera(), station_view(rows, since=resolved, decided_until=resolved + 61 * SECOND)) is Raised
    )


def lag_samples(*lags: int, running: int = 1, every_s: float = 10.0) -> list[LineSample]:
    return [LineSample(NOON + number * every_s * SECOND, lag, running) for number, lag in enumerate(lags)]


def view_at_last(samples: list[LineSample]) -> LineView:
    return replace(line_view(samples[-1].at), samples=samples)


def test_growing_lag_raises_when_lag_stays_high_and_does_not_fall() -> None:
    rule = GrowingLag(frames=100, for_s=30)
    assert outcome_of(rule, view_at_last(lag_samples(0, 0, 150, 150, 150))) is Unsure  # not long enough
    assert outcome_of(rule, view_at_last(lag_samples(120, 150, 160, 170, 180))) is Raised
    assert outcome_of(rule, view_at_last(lag_samples(900, 800, 600, 400, 200))) is Unsure  # the lag falls
    assert outcome_of(rule, view_at_last(lag_samples(900, 800, 600, 400, 49))) is Clear
    assert outcome_of(rule, line_view()) is Unsure


def test_scorer_down_raises_only_when_an_expected_scorer_never_ran() -> None:
    rule = ScorerDown(for_s=30)
    no_scorer = lag_samples(0, 0, 0, 0, 0, running=0)
    assert outcome_of(rule, view_at_last(no_scorer)) is Raised
    assert outcome_of(rule, replace(view_at_last(no_scorer), scorer_expected=False)) is Unsure
    assert outcome_of(rule, view_at_last(no_scorer[:3])) is Unsure  # the monitor itself has just started
    assert (
        outcome_of(rule, view_at_last([*no_scorer, replace(no_scorer[-1], at=no_scorer[-1].at + SECOND, running=1)]))
        is Clear
    )


def test_a_nearly_full_disk_is_named_with_its_usage() -> None:
    def disk_usages(*shares: float) -> LineView:
        return replace(
            line_view(),
            disk_usages=[DiskUsage(f"room {number}", int(share * 1000), 1000) for number, share in enumerate(shares)],
        )

    assert outcome_of(DiskNearlyFull(), disk_usages(0.5, 0.89)) is Unsure
    assert outcome_of(DiskNearlyFull(), disk_usages(0.5, 0.84)) is Clear
    outcome = DiskNearlyFull().evaluate(disk_usages(0.5, 0.95))
    assert isinstance(outcome, Raised)
    assert "room 1 (95%)" in outcome.message
    assert outcome_of(DiskNearlyFull(), line_view()) is Unsure


def test_frames_deleted_unread_are_reported_for_an_hour() -> None:
    def deleted(*frames: int, age_s: float = 10) -> LineView:
        return replace(line_view(), deleted_unread=[DropEvent(each, NOON - age_s * SECOND) for each in frames])

    outcome = DeletedUnread().evaluate(deleted(4, 1))
    assert isinstance(outcome, Raised)
    assert outcome.evidence == {"frames": 5}
    assert outcome_of(DeletedUnread(frames=6), deleted(4, 1)) is Unsure
    assert outcome_of(DeletedUnread(), deleted(5, age_s=3600)) is Clear
    assert outcome_of(DeletedUnread(), line_view()) is Clear
    assert outcome_of(DeletedUnread(), deleted(5).for_rule(NOON, is_open=False)) is Clear


def test_many_dead_letters_within_the_window_are_a_burst() -> None:
    def letters(count: int, age_s: float = 10) -> LineView:
        return replace(line_view(), dead_letters=[DeadLetterEvent(NOON - age_s * SECOND, "no-headers", None)] * count)

    assert outcome_of(DeadLetterBurst(), letters(10)) is Raised
    assert outcome_of(DeadLetterBurst(), letters(9)) is Unsure
    assert outcome_of(DeadLetterBurst(), letters(2)) is Clear
    assert outcome_of(DeadLetterBurst(), letters(50, age_s=601)) is Clear


def test_an_old_normal_set_is_reported_again_a_month_after_it_was_resolved() -> None:
    old = station_view(now=NOON + timedelta(days=181))
    assert outcome_of(OldNormalSet(), station_view(now=NOON + timedelta(days=180))) is Clear
    assert outcome_of(OldNormalSet(), old) is Raised
    assert outcome_of(OldNormalSet(), replace(old, since=old.now - timedelta(days=29))) is Unsure
    assert outcome_of(OldNormalSet(), replace(old, since=old.now - timedelta(days=31))) is Raised


@pytest.mark.parametrize("rule", STATION_RULES, ids=lambda rule: rule.kind)
def test_a_station_without_data_raises_nothing(rule: Any) -> None:
    assert outcome_of(rule(), replace(station_view(), decided_until=None)) is not Raised


@pytest.mark.parametrize("rule", LINE_RULES, ids=lambda rule: rule.kind)
def test_a_line_without_data_raises_nothing(rule: Any) -> None:
    assert outcome_of(rule(), line_view()) is not Raised


@pytest.mark.parametrize("rule", STATION_RULES, ids=lambda rule: rule.kind)
@given(flags=st.text("x.", max_size=80), is_open=st.booleans())
def test_a_rule_is_deterministic(rule: Any, flags: str, is_open: bool) -> None:
    view = station_view(verdict_events(flags), is_open=is_open)
    assert rule().evaluate(view) == rule().evaluate(view)


@pytest.mark.parametrize("rule", [Consecutive(), KOfN(), FlaggedShare()], ids=lambda rule: rule.kind)
@given(flags=st.text("x.", max_size=120))
def test_a_cleared_condition_does_not_raise_again_from_the_same_frames(rule: Any, flags: str) -> None:
    rows = verdict_events(flags)
    if rows and outcome_of(rule, station_view(rows, is_open=True)) is Clear:
        assert outcome_of(rule, station_view(rows, since=rows[-1].captured_at)) is not Raised


def test_every_rule_has_a_name_a_description_and_a_severity() -> None:
    assert len(registry.rules_by_kind()) == len(registry.RULES)
    for rule in registry.RULES:
        assert rule.about.endswith(".")
        assert len(rule.kind) <= 40
        assert rule.severity in {"info", "warning", "critical"}


def test_valid_parameters_are_accepted_and_invalid_ones_refused_by_name() -> None:
    assert registry.create_rule("k_of_n", {"k": 3, "n": 4}) == KOfN(k=3, n=4)
    assert registry.create_rule("silent_camera", {"after_s": 5}) == SilentCamera(after_s=5.0)
    for kind, parameters, message in (
        ("k_of_n", {"m": 3}, "it has k, n, clear"),
        ("k_of_n", {"k": 3.5}, "k of the rule k_of_n"),
        ("k_of_n", {"k": True}, "k of the rule k_of_n"),
        ("k_of_n", {"k": 11}, "k ≤ n"),
        ("score_drift", {"robust": 1}, "robust of the rule score_drift"),
        ("flagged_share", {"limit": "high"}, "limit of the rule flagged_share"),
    ):
        with pytest.raises(InvalidParameters, match=message):
            registry.create_rule(kind, parameters)
    with pytest.raises(UnknownRule, match="silent_camera, wrong_clock"):
        registry.create_rule("moon_phase", {})
