"""Control charts against published examples, and what must hold for every series."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.statistics.control_charts import (
    InControlProcess,
    cusum,
    ewma,
    in_control,
    individuals,
    log_scores,
    moving_range_chart,
    moving_ranges,
    western_electric,
)

# Montgomery, Introduction to Statistical Quality Control, table 9.1: 20 values of N(10, 1), then 10 of N(11, 1).
MONTGOMERY = [
    *(9.45, 7.99, 9.29, 11.66, 12.16, 10.18, 8.04, 11.46, 9.20, 10.34),
    *(9.03, 11.47, 10.51, 9.40, 10.08, 9.37, 10.62, 10.31, 8.52, 10.84),
    *(10.90, 9.33, 12.29, 11.50, 10.60, 11.08, 10.38, 11.62, 11.31, 10.52),
]
TEN = InControlProcess(10.0, 1.0, 100)

# NIST/SEMATECH e-Handbook of Statistical Methods, 6.3.2.4: EWMA, and 6.3.2.2: individuals (flow rates).
NIST_EWMA = [52.0, 47.0, 53.0, 49.3, 50.1, 47.0, 51.0, 50.1, 51.2, 50.5]
NIST_EWMA += [49.6, 47.6, 49.9, 51.3, 47.8, 51.2, 52.6, 52.4, 53.6, 52.1]
NIST_FLOW = [49.6, 47.6, 49.9, 51.3, 47.8, 51.2, 52.6, 52.4, 53.6, 52.1]

series = st.lists(st.floats(-50, 50), min_size=1, max_size=60)


def test_the_individuals_chart_equals_nist_handbook_6_3_2_2() -> None:
    process = in_control(NIST_FLOW)
    assert process.centre == pytest.approx(50.81)
    assert np.mean(moving_ranges(NIST_FLOW)) == pytest.approx(1.8778, abs=5e-5)
    chart = individuals(NIST_FLOW, process)
    assert chart.upper[0] == pytest.approx(55.8041, abs=5e-5)
    assert chart.lower[0] == pytest.approx(45.8159, abs=5e-5)
    assert chart.first_signal is None


def test_the_moving_range_limit_is_d4_mean_ranges() -> None:
    chart = moving_range_chart(NIST_FLOW, in_control(NIST_FLOW))
    assert len(chart.points) == len(NIST_FLOW) - 1
    assert chart.upper[0] == pytest.approx(3.267 * np.mean(moving_ranges(NIST_FLOW)))
    jump = moving_range_chart([*NIST_FLOW, 62.0], in_control(NIST_FLOW))
    assert jump.signals[-1] == ("WE1",)


def test_the_cusum_equals_montgomery_table_9_2() -> None:
    sums = cusum(MONTGOMERY, TEN, slack=0.5, limit=5.0)
    high = [0, 0, 0, 1.16, 2.82, 2.50, 0.04, 1.00, 0, 0, 0, 0.97, 0.98, 0, 0, 0, 0.12, 0, 0, 0.34]
    high += [0.74, 0, 1.79, 2.79, 2.89, 3.47, 3.35, 4.47, 5.28, 5.30]
    low = [0.05, 1.56, 1.77, 0, 0, 0, 1.46, 0, 0.30, 0, 0.47, 0, 0, 0.10, 0, 0.13, 0, 0, 0.98, 0]
    low += [0, 0.17, *[0] * 8]
    assert np.round(sums.high, 2).tolist() == pytest.approx(high)
    assert np.round(sums.low, 2).tolist() == pytest.approx(low)
    assert sums.first_signal == 28  # sample 29
    assert sums.high_since[28] == 7  # so the shift lies between samples 22 and 23


def test_the_fast_initial_response_starts_at_its_fraction_of_the_limit() -> None:
    # Montgomery 9.1.6: h = 5, a head start of 50 % begins both sums at 2.5
    sums = cusum([10.0], TEN, slack=0.5, limit=5.0, head_start=0.5)
    assert (sums.high[0], sums.low[0]) == (2.0, 2.0)


def test_the_ewma_equals_montgomery_table_9_10() -> None:
    chart = ewma(MONTGOMERY, TEN, weight=0.1, width=2.7)
    assert chart.points[:4].tolist() == pytest.approx([9.945, 9.7495, 9.70355, 9.8992], abs=5e-5)
    assert chart.upper[:2].tolist() == pytest.approx([10.27, 10.36], abs=5e-3)
    assert (chart.lower[-1], chart.upper[-1]) == pytest.approx((9.38, 10.62), abs=5e-3)
    assert chart.points[-2:].tolist() == pytest.approx([10.6468, 10.6341], abs=5e-5)
    assert chart.first_signal == 28  # the first above 10.62


def test_the_ewma_equals_nist_handbook_6_3_2_4() -> None:
    chart = ewma(NIST_EWMA, InControlProcess(50.0, 2.0539, 100), weight=0.3, width=3.0)
    expected = [50.60, 49.52, 50.56, 50.18, 50.16, 49.21, 49.75, 49.85, 50.26, 50.33]
    expected += [50.11, 49.36, 49.52, 50.05, 49.38, 49.92, 50.73, 51.23, 51.94, 51.99]
    assert np.round(chart.points, 2).tolist() == pytest.approx(expected, abs=0.0101)  # NIST rounds as it goes
    assert (chart.lower[-1], chart.upper[-1]) == pytest.approx((47.4115, 52.5884), abs=2e-3)
    assert chart.first_signal is None


def test_each_point_names_the_western_electric_rules_that_it_violates() -> None:
    def last(*sigmas: float) -> tuple[str, ...]:
        return western_electric(sigmas, InControlProcess(0.0, 1.0, 100))[-1]

    assert last(3.1) == ("WE1",)
    assert last(2.1, 0.0, 2.1) == ("WE2",)
    assert last(2.1, 0.0, -2.1) == ()  # not on the same side
    assert last(2.1, 2.1, 0.0) == ()  # the point itself is in control
    assert last(1.1, 1.1, -1.0, 1.1, 1.1) == ("WE3",)
    assert last(*[0.1] * 7) == ()
    assert last(*[0.1] * 8) == ("WE4",)
    assert last(*[-1.5] * 6, -2.5, -3.5) == ("WE1", "WE2", "WE3", "WE4")


def test_a_point_on_a_limit_is_in_control() -> None:
    assert western_electric([3.0], InControlProcess(0.0, 1.0, 100)) == ((),)
    assert cusum([5.5], InControlProcess(0.0, 1.0, 100), slack=0.5, limit=5.0).first_signal is None


def test_robust_limits_withstand_outliers() -> None:
    rng = np.random.default_rng(5)
    clean = rng.normal(0, 1, 400)
    contaminated = clean.copy()
    contaminated[::20] += 30  # one in twenty is a missed defect
    robust, plain = in_control(contaminated, robust=True), in_control(contaminated)
    assert (robust.centre, robust.sigma) == pytest.approx((0, 1), abs=0.25)
    assert plain.sigma > 3
    assert in_control(clean, robust=True).sigma == pytest.approx(in_control(clean).sigma, rel=0.15)


def test_limits_need_two_different_values() -> None:
    with pytest.raises(ValueError):
        in_control([1.0])
    with pytest.raises(ValueError):
        in_control([1.0, 1.0, 1.0])


def test_a_factor_on_the_score_is_a_shift_of_its_logarithm() -> None:
    scores = np.array([0.01, 0.1, 2.0])
    assert log_scores(3 * scores) - log_scores(scores) == pytest.approx([math.log(3)] * 3)
    assert np.isfinite(log_scores([0.0, -1.0])).all()


@given(series, st.floats(-5, 5), st.floats(0.1, 10))
def test_charts_do_not_depend_on_the_unit(values: list[float], centre: float, scale: float) -> None:
    here = InControlProcess(0.0, 1.0, 10)
    there = InControlProcess(centre, scale, 10)
    moved = [centre + scale * value for value in values]
    assert cusum(moved, there).high == pytest.approx(cusum(values, here).high, abs=1e-6)
    assert ewma(moved, there).points == pytest.approx(centre + scale * ewma(values, here).points, abs=1e-6)


@given(series)
def test_the_two_cusums_mirror_each_other_and_are_never_negative(values: list[float]) -> None:
    process = InControlProcess(0.0, 1.0, 10)
    sums, mirrored = cusum(values, process), cusum([-value for value in values], process)
    assert sums.high.tolist() == mirrored.low.tolist()
    assert (sums.high >= 0).all()
    assert (sums.low >= 0).all()


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=60), st.integers(1, 59))
def test_a_later_start_never_increases_a_cusum(values: list[float], cut: int) -> None:
    whole, late = cusum(values, InControlProcess(0.0, 1.0, 10)), cusum(values[cut:], InControlProcess(0.0, 1.0, 10))
    if len(late.high):
        assert late.high[-1] <= whole.high[-1] + 1e-9


def test_sigma_is_widened_for_small_samples() -> None:
    corrected = InControlProcess(0.5, 0.2, 36).corrected_for_sample_size()
    assert (corrected.centre, corrected.count) == (0.5, 36)
    assert corrected.sigma == pytest.approx(0.25)  # 1 + 1.5 / 6
    assert InControlProcess(0.5, 0.2, 225).corrected_for_sample_size().sigma == pytest.approx(0.22)  # 1 + 1.5 / 15


def test_corrected_limits_of_few_good_parts_rarely_raise_false_alarms() -> None:
    """Of 400 healthy streams with limits from 40 values one in ten would alarm within 500."""
    rng = np.random.default_rng(11)
    alarmed = {"as learnt": 0, "assured": 0}
    for _ in range(400):
        process_of_few, values = in_control(rng.standard_normal(40)), rng.standard_normal(500)
        for name, process in (("as learnt", process_of_few), ("assured", process_of_few.corrected_for_sample_size())):
            charts = cusum(values, process, 0.75, 8.0), ewma(values, process, 0.1, 4.5)
            alarmed[name] += any(chart.first_signal is not None for chart in charts)
    assert alarmed["as learnt"] > 20
    assert alarmed["assured"] <= 10
