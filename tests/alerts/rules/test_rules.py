"""Each rule raises when it should, clears later than it raised, and is unsure when it can't know."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.errors import InvalidParameters, UnknownRule
from alerts.rules import registry
from alerts.rules.consecutive import Consecutive
from alerts.rules.dead_letter_burst import DeadLetterBurst
from alerts.rules.disk_nearly_full import DiskNearlyFull
from alerts.rules.flagged_share import FlaggedShare
from alerts.rules.growing_lag import GrowingLag
from alerts.rules.k_of_n import KOfN
from alerts.rules.old_normal_set import OldNormalSet
from alerts.rules.rule import Clear, Raised, RuleOutcome, Unsure
from alerts.rules.score_drift import ScoreDrift
from alerts.rules.scorer_down import ScorerDown
from alerts.rules.silent_camera import SilentCamera
from alerts.rules.western_electric import WesternElectric
from alerts.views import ALERT_HORIZON, DiskUsage, LineSample, LineView, StationView
from storage.alerts.rule_inputs import DeadLetterEvent
from tests.alerts.examples import SECOND, frames, line, scores, seen, station
from tests.storage.examples import NOON

STATION_RULES = [rule for rule in registry.RULES if rule.scope == "station"]
LINE_RULES = [rule for rule in registry.RULES if rule.scope == "line"]


def says(rule: Any, view: StationView | LineView) -> type[RuleOutcome]:
    outcome: RuleOutcome = rule.evaluate(view)
    return type(outcome)


def test_five_flagged_in_a_row_raise_and_four_do_not() -> None:
    assert says(Consecutive(), station(frames("..xxxx"))) is Unsure
    assert says(Consecutive(), station(frames("..xxxxx"))) is Raised
    assert (
        says(Consecutive(), station(frames("..xxxxx.."))) is Raised
    )  # an evaluation every few seconds must not miss it
    assert says(Consecutive(), station(frames("..xxxxx....."), is_open=True)) is Clear


def test_a_good_part_between_them_breaks_the_row() -> None:
    assert says(Consecutive(), station(frames("xxxx.xxxx"))) is Unsure


def test_k_of_n_counts_any_neighbours_and_clears_at_a_few() -> None:
    rule = KOfN(k=3, n=5, clear=1)
    assert says(rule, station(frames("x.x.."))) is Unsure
    assert says(rule, station(frames("x.x.x"))) is Raised
    assert says(rule, station(frames("x.x.x.."))) is Raised
    assert says(rule, station(frames("x.x.x.."), is_open=True)) is Raised
    assert says(rule, station(frames("x.x.x...."), is_open=True)) is Clear
    assert says(rule, station(frames("x..x..x"))) is Unsure


def test_what_ended_an_hour_ago_is_history() -> None:
    rows = frames("xxxxxx")
    for rule in (Consecutive(), KOfN()):
        assert says(rule, station([*rows, *frames("....", 6)], now=NOON + ALERT_HORIZON)) is Raised
        late = rows[-1].captured_at + ALERT_HORIZON + SECOND
        assert says(rule, station(rows, now=late)) is not Raised


def test_what_was_dealt_with_raises_no_more() -> None:
    rows = frames("xxxxxx....")
    since = rows[5].captured_at
    assert says(Consecutive(), station(rows)) is Raised
    assert says(Consecutive(), station(rows, since=since)) is not Raised
    assert says(KOfN(), station(rows, since=since)) is not Raised


def test_a_flagged_share_must_be_surely_above_the_limit() -> None:
    rule = FlaggedShare(window_frames=100, limit=0.2, clear=0.1)
    assert says(rule, station(frames("x" * 24))) is Unsure  # other rules cover these
    assert says(rule, station(frames("x..." * 25))) is Unsure  # 25 %: its interval reaches from 17.5 to 34.3 %
    assert says(rule, station(frames("x.." * 33))) is Raised  # 33 %: from 24.8 to 43.1 %
    assert says(rule, station(frames("." * 95 + "xxxxx"))) is Clear
    assert says(rule, station(frames("." * 40))) is Unsure  # less than half a window


def test_a_factor_of_one_and_a_half_on_the_scores_of_good_parts_is_a_drift() -> None:
    before = scores(300)
    assert says(ScoreDrift(), station([*before, *scores(100, 0, 2, 300)], in_control=before)) is Clear
    outcome = ScoreDrift().evaluate(station([*before, *scores(30, 2, 2, 300)], in_control=before))
    assert isinstance(outcome, Raised)
    assert outcome.evidence["charts"] == ["CUSUM", "EWMA"]
    assert outcome.evidence["factor"] == pytest.approx(1.49, abs=0.1)  # e^(2 · 0.2)
    assert "rising" in outcome.message


def test_scores_that_fall_drift_too() -> None:
    before = scores(300)
    outcome = ScoreDrift().evaluate(station([*before, *scores(30, -2, 2, 300)], in_control=before))
    assert isinstance(outcome, Raised)
    assert "falling" in outcome.message


def test_a_drift_is_over_when_the_average_is_back_well_within_its_limits() -> None:
    before, faded = scores(300), scores(30, 2, 2, 300)
    new_lamp = scores(40, 0, 3, 330)
    rows = [*before, *faded, *new_lamp]
    assert says(ScoreDrift(), station(rows[:340], in_control=before, is_open=True)) is Raised
    assert says(ScoreDrift(), station(rows, in_control=before, is_open=True)) is Clear


def test_drift_is_not_judged_before_the_in_control_period_is_full() -> None:
    assert says(ScoreDrift(), station(scores(299), in_control=scores(299))) is Unsure
    assert says(WesternElectric(), station(scores(299), in_control=scores(299))) is Unsure


def test_defects_and_other_models_scores_are_no_drift_of_good_parts() -> None:
    before = scores(300)
    defects = [seen(300 + number, flagged=True, score=9.0) for number in range(40)]
    others = [replace(seen(300 + number, score=9.0), model_id="other") for number in range(40)]
    for rows in (defects, others):
        assert says(ScoreDrift(), station([*before, *rows], in_control=before)) is Unsure


def test_scores_that_never_move_have_no_limits() -> None:
    still = [seen(number) for number in range(400)]
    assert says(ScoreDrift(), station(still, in_control=still[:300])) is Unsure


def test_western_electric_names_the_rules_that_were_broken() -> None:
    before = scores(300)
    quiet = [seen(300 + number, score=before[number].score or 0) for number in range(3)]
    outcome = WesternElectric().evaluate(station([*before, *quiet, *scores(8, 1.5, 4, 303)], in_control=before))
    assert isinstance(outcome, Raised)
    assert set(outcome.evidence["rules"]) <= {"WE1", "WE2", "WE3", "WE4"}
    assert not registry.rules_by_kind()["western_electric"].on_by_default


def test_a_camera_is_silent_when_others_were_heard_for_longer_than_it_may_be_still() -> None:
    rows = frames("...")
    heard = rows[-1].published_at
    assert says(SilentCamera(), station(rows, decided_until=heard + 60 * SECOND)) is Unsure
    assert says(SilentCamera(), station(rows, decided_until=heard + 61 * SECOND)) is Raised
    assert says(SilentCamera(), station(rows, decided_until=heard + 59 * SECOND)) is Clear
    assert says(SilentCamera(after_s=5), station(rows, decided_until=heard + 6 * SECOND)) is Raised


def test_a_scorer_that_is_slow_or_away_makes_no_camera_silent() -> None:
    rows = frames("...")
    hours_later = rows[-1].decided_at + timedelta(hours=3)
    slow = station(rows, now=hours_later, decided_until=rows[-1].published_at)
    assert says(SilentCamera(), slow) is Clear
    assert says(SilentCamera(), replace(slow, decided_until=None)) is Unsure


def test_a_camera_that_never_sent_a_frame_is_not_silent_but_new() -> None:
    assert says(SilentCamera(), station()) is Unsure


def test_silence_counts_anew_once_somebody_resolved_it() -> None:
    rows = frames("...")
    resolved = rows[-1].published_at + 100 * SECOND
    assert says(SilentCamera(), station(rows, since=resolved, decided_until=resolved + 30 * SECOND)) is not Raised
    assert says(SilentCamera(), station(rows, since=resolved, decided_until=resolved + 61 * SECOND)) is Raised


def points(*lags: int, running: int = 1, every_s: float = 10.0) -> list[LineSample]:
    return [LineSample(NOON + number * every_s * SECOND, lag, running) for number, lag in enumerate(lags)]


def at_the_last(found: list[LineSample]) -> LineView:
    return replace(line(found[-1].at), samples=found)


def test_lag_is_told_when_it_stays_high_and_does_not_fall() -> None:
    rule = GrowingLag(frames=100, for_s=30)
    assert says(rule, at_the_last(points(0, 0, 150, 150, 150))) is Unsure  # not long enough
    assert says(rule, at_the_last(points(120, 150, 160, 170, 180))) is Raised
    assert says(rule, at_the_last(points(900, 800, 600, 400, 200))) is Unsure  # the lag falls
    assert says(rule, at_the_last(points(900, 800, 600, 400, 49))) is Clear
    assert says(rule, line()) is Unsure


def test_no_scorer_is_told_only_when_none_ran_all_the_time_and_one_is_expected() -> None:
    rule = ScorerDown(for_s=30)
    gone = points(0, 0, 0, 0, 0, running=0)
    assert says(rule, at_the_last(gone)) is Raised
    assert says(rule, replace(at_the_last(gone), scorer_expected=False)) is Unsure
    assert says(rule, at_the_last(gone[:3])) is Unsure  # the monitor itself has just started
    assert says(rule, at_the_last([*gone, replace(gone[-1], at=gone[-1].at + SECOND, running=1)])) is Clear


def test_a_full_disk_or_spool_is_named_with_its_share() -> None:
    def disk_usages(*shares: float) -> LineView:
        return replace(
            line(),
            disk_usages=[DiskUsage(f"room {number}", int(share * 1000), 1000) for number, share in enumerate(shares)],
        )

    assert says(DiskNearlyFull(), disk_usages(0.5, 0.89)) is Unsure
    assert says(DiskNearlyFull(), disk_usages(0.5, 0.84)) is Clear
    outcome = DiskNearlyFull().evaluate(disk_usages(0.5, 0.95))
    assert isinstance(outcome, Raised)
    assert outcome.message == "Nearly full: room 1 (95%)."
    assert says(DiskNearlyFull(), line()) is Unsure


def test_dead_letters_are_a_burst_when_many_come_within_the_window() -> None:
    def letters(count: int, age_s: float = 10) -> LineView:
        return replace(line(), dead_letters=[DeadLetterEvent(NOON - age_s * SECOND, "no-headers", None)] * count)

    assert says(DeadLetterBurst(), letters(10)) is Raised
    assert says(DeadLetterBurst(), letters(9)) is Unsure
    assert says(DeadLetterBurst(), letters(2)) is Clear
    assert says(DeadLetterBurst(), letters(50, age_s=601)) is Clear


def test_an_old_normal_set_is_told_again_a_month_after_somebody_said_it_is_fine() -> None:
    old = station(now=NOON + timedelta(days=181))
    assert says(OldNormalSet(), station(now=NOON + timedelta(days=180))) is Clear
    assert says(OldNormalSet(), old) is Raised
    assert says(OldNormalSet(), replace(old, since=old.now - timedelta(days=29))) is Unsure
    assert says(OldNormalSet(), replace(old, since=old.now - timedelta(days=31))) is Raised


@pytest.mark.parametrize("rule", STATION_RULES, ids=lambda rule: rule.kind)
def test_a_station_of_which_nothing_is_known_raises_nothing(rule: Any) -> None:
    assert says(rule(), replace(station(), decided_until=None)) is not Raised


@pytest.mark.parametrize("rule", LINE_RULES, ids=lambda rule: rule.kind)
def test_a_line_of_which_nothing_is_known_raises_nothing(rule: Any) -> None:
    assert says(rule(), line()) is not Raised


@pytest.mark.parametrize("rule", STATION_RULES, ids=lambda rule: rule.kind)
@given(flags=st.text("x.", max_size=80), is_open=st.booleans())
def test_a_rule_says_the_same_of_the_same(rule: Any, flags: str, is_open: bool) -> None:
    view = station(frames(flags), is_open=is_open)
    assert rule().evaluate(view) == rule().evaluate(view)


@pytest.mark.parametrize("rule", [Consecutive(), KOfN(), FlaggedShare()], ids=lambda rule: rule.kind)
@given(flags=st.text("x.", max_size=120))
def test_what_clears_does_not_raise_again_from_the_same_frames(rule: Any, flags: str) -> None:
    rows = frames(flags)
    if rows and says(rule, station(rows, is_open=True)) is Clear:
        assert says(rule, station(rows, since=rows[-1].captured_at)) is not Raised


def test_every_rule_has_a_name_a_sentence_and_a_severity() -> None:
    assert len(registry.rules_by_kind()) == len(registry.RULES)
    for rule in registry.RULES:
        assert rule.about.endswith(".")
        assert len(rule.kind) <= 40
        assert rule.severity in {"info", "warning", "critical"}


def test_parameters_are_taken_when_they_make_sense_and_refused_by_name_when_not() -> None:
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
    with pytest.raises(UnknownRule, match="silent_camera, consecutive"):
        registry.create_rule("moon_phase", {})
