"""The scale of score bars, for every score and threshold that a detector may give."""

from hypothesis import assume, given
from hypothesis import strategies as st

from dashboard.components.score_scale import AT_THRESHOLD, on_scale, rounded

SCORES = st.floats(0, 1e6, allow_subnormal=False)
THRESHOLDS = st.floats(1e-6, 1e6)


@given(SCORES, THRESHOLDS)
def test_it_is_bounded(score: float, threshold: float) -> None:
    assert 0 <= on_scale(score, threshold) <= 100


@given(SCORES, SCORES, THRESHOLDS)
def test_it_is_monotone(one: float, other: float, threshold: float) -> None:
    low, high = sorted((one, other))
    assert on_scale(low, threshold) <= on_scale(high, threshold)


@given(THRESHOLDS)
def test_the_threshold_is_at_50_and_nothing_is_at_0(threshold: float) -> None:
    assert on_scale(threshold, threshold) == AT_THRESHOLD
    assert on_scale(0.0, threshold) == 0


@given(SCORES, THRESHOLDS)
def test_only_the_threshold_reads_50(score: float, threshold: float) -> None:
    assume(score != threshold)
    assert (rounded(score, threshold) > AT_THRESHOLD) == (score > threshold)
    assert rounded(score, threshold) != AT_THRESHOLD


@given(st.floats(-10, 10), st.floats(-10, 0))
def test_a_threshold_without_a_scale_still_separates(score: float, threshold: float) -> None:
    side = on_scale(score, threshold) - AT_THRESHOLD
    assert (side > 0) == (score > threshold)
    assert (side < 0) == (score < threshold)
