"""KPIs against published examples, and the coverage of their confidence intervals."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.kpis.kpis import (
    InspectionCounts,
    compute_kpis,
    dpmo,
    dpmo_interval,
    escape_estimate_basis,
    escape_rate,
    escaped_share,
    estimated_dpmo,
    false_reject_rate,
    first_pass_yield,
    pareto,
    per_million,
    rolled_throughput_yield,
)
from alerts.statistics.confidence_intervals import clopper_pearson, hypergeometric, wilson

# Newcombe, Two-sided confidence intervals for the single proportion (Statistics in Medicine 17, 1998), table I
NEWCOMBE = [
    (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
    (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
    (0, 20, (0.0, 0.1611), (0.0, 0.1684)),
    (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
]


@pytest.mark.parametrize(("hits", "trials", "score", "exact"), NEWCOMBE)
def test_both_intervals_equal_those_of_newcombe_1998(
    hits: int, trials: int, score: tuple[float, float], exact: tuple[float, float]
) -> None:
    by_wilson, by_clopper = wilson(hits, trials), clopper_pearson(hits, trials)
    assert by_wilson is not None
    assert by_clopper is not None
    assert (by_wilson.low, by_wilson.high) == pytest.approx(score, abs=5e-5)
    assert (by_clopper.low, by_clopper.high) == pytest.approx(exact, abs=5e-5)


def test_an_interval_of_no_trials_is_none() -> None:
    assert (wilson(0, 0), clopper_pearson(0, 0), hypergeometric(0, 0, 10)) == (None, None, None)


def test_the_hypergeometric_interval_of_a_large_population_approaches_clopper_pearson() -> None:
    exact, finite = clopper_pearson(5, 50), hypergeometric(5, 50, 10_000_000)
    assert exact is not None
    assert finite is not None
    assert (finite.low, finite.high) == pytest.approx((exact.low, exact.high), abs=1e-4)


def test_an_interval_has_no_width_when_the_whole_population_was_reviewed() -> None:
    all_of_them = hypergeometric(3, 40, 40)
    assert all_of_them is not None
    assert (all_of_them.low, all_of_them.value, all_of_them.high) == (0.075, 0.075, 0.075)


def test_the_hypergeometric_interval_has_its_nominal_coverage() -> None:
    rng = np.random.default_rng(3)
    for truth in (2, 30, 100):
        hits = rng.hypergeometric(truth, 200 - truth, 40, size=1000)
        intervals = {int(count): hypergeometric(int(count), 40, 200) for count in np.unique(hits)}
        covered = sum(
            interval is not None and interval.low <= truth / 200 <= interval.high
            for interval in map(intervals.get, hits.tolist())
        )
        assert covered >= 950 - 3 * (1000 * 0.05 * 0.95) ** 0.5


def test_first_pass_yield_equals_minitabs_label_example() -> None:
    # Minitab, "What are throughput yield and rolled throughput yield": 1000 labels are printed, laminated and cut
    steps = [first_pass_yield(950, 1000), first_pass_yield(800, 950), first_pass_yield(700, 800)]
    assert steps == pytest.approx([0.95, 0.84, 0.88], abs=0.00501)  # as rounded there
    assert rolled_throughput_yield([step or 0.0 for step in steps]) == pytest.approx(0.70)


def test_dpmo_equals_a_published_example() -> None:
    # My Six Sigma Trainer's glossary: 1000 widgets with 10 characteristics each, 50 errors
    assert dpmo(50, 1000, 10) == 5000
    assert per_million(3, 2000) == 1500


def test_dpmo_counts_caught_and_escaped_defects_but_no_false_alarms() -> None:
    # 1000 frames; 50 flagged, all reviewed, 40 of them defects; 100 passed ones drawn at random, 2 of them defects
    counts = InspectionCounts(1000, 50, 40, 10, confirmed=98, escaped=2, sampled_good=98, sampled_defects=2)
    assert estimated_dpmo(counts) == pytest.approx(1_000_000 * (40 + 950 * 0.02) / 1000)
    assert (
        estimated_dpmo(InspectionCounts(1000, 50, 40, 10, confirmed=98, escaped=2)) == 42_000
    )  # none was drawn at random
    assert estimated_dpmo(InspectionCounts(1000, 50)) is None
    assert estimated_dpmo(InspectionCounts(1000, 0)) == 0


def test_false_reject_and_escape_rates_equal_those_worked_out_by_hand() -> None:
    counts = InspectionCounts(1000, 50, 40, 10, confirmed=98, escaped=2, sampled_good=98, sampled_defects=2)
    rejects, escapes = false_reject_rate(counts), escape_rate(counts)
    assert rejects is not None
    assert escapes is not None
    assert rejects.value == pytest.approx(10 / (10 + 950 * 0.98))
    assert escapes.value == pytest.approx(950 * 0.02 / (950 * 0.02 + 40))
    assert rejects.low < rejects.value < rejects.high < 0.012  # all flagged ones were reviewed
    assert escapes.low < 0.1
    assert escapes.high > 0.6  # a sample of 100 of 950 is small


def test_escapes_are_unknown_until_a_randomly_sampled_passed_frame_is_reviewed() -> None:
    borderline = InspectionCounts(
        1000, 50, caught=40, false_alarms=10, confirmed=30, escaped=12
    )  # selected, not drawn at random
    kpis = compute_kpis(borderline)
    assert (kpis.escape_rate, kpis.escape_ppm) == (None, None)
    assert escape_estimate_basis(borderline) == (
        "No passed frame that was drawn at random has been reviewed, so escapes can't be estimated; "
        "12 escapes are known."
    )
    assert kpis.false_reject_rate is not None
    assert (kpis.first_pass_yield, kpis.flagged_ppm) == (0.95, 50_000)


def test_escapes_are_estimated_from_the_random_sample_and_never_below_the_known_count() -> None:
    sample = InspectionCounts(
        1000, 50, caught=40, false_alarms=10, confirmed=98, escaped=2, sampled_good=98, sampled_defects=2
    )
    picked = replace(sample, confirmed=98 + 20, escaped=2 + 15)  # borderline frames that were reviewed, too
    alone, beside = escaped_share(sample), escaped_share(picked)
    assert alone is not None
    assert beside is not None
    assert beside.value == alone.value == 0.02
    assert alone.low == 3 / 950  # of 3 two or more are drawn by 3 · 0.105² · 0.895 + 0.105³ = 3.1 %, of 2 by 1.1 %
    assert beside.low == 17 / 950
    assert escape_estimate_basis(picked) == (
        "Escapes are estimated from 100 passed frames drawn at random and reviewed, with 2 defects among them; "
        "17 escapes are known."
    )
    none_drawn = escaped_share(replace(sample, escaped=30, sampled_good=100, sampled_defects=0, confirmed=100))
    assert none_drawn is not None
    assert none_drawn.value == 30 / 950


def test_borderline_reviews_do_not_bias_the_escape_estimate() -> None:
    # 20,000 passed frames with 100 escapes, most of them near the threshold, where every frame is reviewed
    rng = np.random.default_rng(8)
    covered = 0
    for _ in range(200):
        defects = np.zeros(20_000, dtype=bool)
        defects[rng.choice(1_000, 80, replace=False)] = True  # the first thousand are borderline
        defects[1_000 + rng.choice(19_000, 20, replace=False)] = True
        drawn = rng.choice(20_000, 400, replace=False)
        reviewed = np.union1d(np.arange(1_000), drawn)
        counts = InspectionCounts(
            20_100,
            100,
            caught=100,
            confirmed=int((~defects[reviewed]).sum()),
            escaped=int(defects[reviewed].sum()),
            sampled_good=int((~defects[drawn]).sum()),
            sampled_defects=int(defects[drawn].sum()),
        )
        kpis = escaped_share(counts)
        assert kpis is not None
        assert counts.escaped / len(reviewed) > 0.05  # a rate over all reviews would be ten times the truth
        covered += kpis.low <= 100 / 20_000 <= kpis.high
    assert covered >= 190


def test_the_escape_rate_is_exact_when_every_passed_frame_was_reviewed() -> None:
    counts = InspectionCounts(100, 5, caught=5, confirmed=94, escaped=1)
    kpis = escaped_share(counts)
    assert kpis is not None
    assert kpis.low == kpis.value == kpis.high == 1 / 95
    assert escape_estimate_basis(counts) == "Every passed frame was reviewed; 1 escape is known."


def test_kpis_of_no_frames_are_none() -> None:
    kpis = compute_kpis(InspectionCounts(0, 0))
    assert (kpis.first_pass_yield, kpis.flagged_ppm, kpis.dpmo, kpis.false_reject_rate) == (None, None, None, None)


def test_a_pareto_has_the_most_frequent_defect_first_and_adds_up() -> None:
    rows = pareto({"chip": 2, "scratch": 7, "stain": 1, "crack": 0})
    assert [(row.defect, row.count) for row in rows] == [("scratch", 7), ("chip", 2), ("stain", 1)]
    assert [row.cumulative for row in rows] == pytest.approx([0.7, 0.9, 1.0])


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 500))
def test_every_interval_contains_its_estimate(
    caught: int, false_alarms: int, confirmed: int, escaped: int, unreviewed: int
) -> None:
    flagged = caught + false_alarms + unreviewed % 7
    drawn = (confirmed - unreviewed % (confirmed + 1), escaped - unreviewed % (escaped + 1))
    counts = InspectionCounts(
        flagged + confirmed + escaped + unreviewed, flagged, caught, false_alarms, confirmed, escaped, *drawn
    )
    kpis = compute_kpis(counts)
    for interval in (kpis.false_alarm_share, kpis.false_reject_rate, kpis.escape_rate):
        assert interval is None or 0 <= interval.low <= interval.value + 1e-12 <= interval.high + 2e-12 <= 1 + 3e-12


def test_more_reviews_narrow_the_interval() -> None:
    few = escape_rate(
        InspectionCounts(
            10_000, 100, caught=50, false_alarms=50, confirmed=99, escaped=1, sampled_good=99, sampled_defects=1
        )
    )
    many = escape_rate(
        InspectionCounts(
            10_000, 100, caught=50, false_alarms=50, confirmed=990, escaped=10, sampled_good=990, sampled_defects=10
        )
    )
    assert few is not None
    assert many is not None
    assert many.high - many.low < (few.high - few.low) / 2


def test_a_share_with_a_wide_interval_is_not_conclusive() -> None:
    few = compute_kpis(
        InspectionCounts(
            1_000, 20, caught=18, false_alarms=2, sampled_defects=1, escaped=1, sampled_good=12, confirmed=12
        )
    )
    assert few.escape_rate is not None
    assert not few.escape_rate.is_conclusive
    many = compute_kpis(InspectionCounts(1_000, 20, caught=10, false_alarms=10, sampled_good=900, confirmed=900))
    assert many.false_reject_rate is not None
    assert many.false_reject_rate.is_conclusive


def test_the_interval_of_the_dpmo_holds_its_value_and_narrows_with_the_sample() -> None:
    few = InspectionCounts(1_000, 20, caught=20, sampled_good=13, confirmed=13)
    many = InspectionCounts(1_000, 20, caught=20, sampled_good=800, confirmed=800)
    for counts in (few, many):
        found, value = dpmo_interval(counts), estimated_dpmo(counts)
        assert found is not None
        assert value is not None
        assert found[0] <= value <= found[1]
    assert dpmo_interval(many)[1] < dpmo_interval(few)[1] / 10  # type: ignore[index]
    assert dpmo_interval(InspectionCounts(1_000, 20)) is None
