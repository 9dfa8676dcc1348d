"""Thresholds from a stream that holds defects."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri  # type: ignore[import-untyped]

from scorer.errors import InvalidNormalSet
from scorer.learning.stream_thresholds import MAX_FLAG_RATE, estimated_threshold, reviewed_threshold

RATE = 0.01


def good_frames(count: int) -> list[float]:
    """Return scores whose logarithms lie on a line of deviation 0.2 around −2, the highest a little above it."""
    logarithms = -2 + 0.2 * ndtri((np.arange(count) + 0.5) / count)
    logarithms[-3:] += 0.1
    scores: list[float] = np.exp(logarithms).tolist()
    return scores


def log_normal_limit(rate: float) -> float:
    return math.exp(-2 + 0.2 * float(ndtri(1 - rate)))


def test_confirmed_defects_are_dropped_and_nothing_else() -> None:
    """Of 199 frames that are left, the second highest is exceeded by one of a hundred good parts at most."""
    scores = [*np.linspace(0.1, 0.2, 199).tolist(), 5.0, 6.0, 7.0]
    confirmed = [False] * 199 + [True] * 3
    assert reviewed_threshold(scores, confirmed, RATE).value == pytest.approx(sorted(scores)[197])


def test_the_guarantee_is_the_one_nearest_to_the_promise() -> None:
    """Of 180 frames the highest guarantees 1 of 181, 0.55 %, and the second 1.1 %; of 80 the highest 1.23 %."""
    many, few = np.linspace(0.1, 0.2, 180).tolist(), np.linspace(0.1, 0.2, 80).tolist()
    of_many = reviewed_threshold(many, [False] * 180, RATE)
    assert of_many.value == pytest.approx(many[178])
    assert "1.1 %" in of_many.guarantee
    of_few = reviewed_threshold(few, [False] * 80, RATE)
    assert of_few.value == pytest.approx(few[79])
    assert "1.23 %" in of_few.guarantee


@given(st.sets(st.integers(0, 199), max_size=20))
def test_a_defect_that_nobody_found_never_lowers_the_threshold(unfound: set[int]) -> None:
    good = np.linspace(0.1, 0.2, 200).tolist()
    with_unfound = good + [9.0 + number for number in unfound]
    clean = reviewed_threshold(good, [False] * 200, RATE).value
    assert reviewed_threshold(with_unfound, [False] * len(with_unfound), RATE).value >= clean


def test_two_defects_that_nobody_found_do_not_hide_those_below_them() -> None:
    """They take both ranks of the guarantee; the estimate flags 1.5 % of 200 frames, and so them and one more."""
    scores = [*good_frames(198), 5.0, 6.0]
    reviewed = reviewed_threshold(scores, [False] * 200, RATE)
    assert log_normal_limit(RATE) < reviewed.value < 0.5
    assert (np.array(scores) > reviewed.value).sum() == 3
    assert "estimate" in reviewed.guarantee


def test_many_defects_that_nobody_found_are_not_taken_for_rejects_of_good_parts() -> None:
    """An estimate flags three of 200 frames at most, however far down the line lies."""
    scores = [*good_frames(180), *np.linspace(5.0, 6.0, 20).tolist()]
    reviewed = reviewed_threshold(scores, [False] * 200, RATE)
    assert (np.array(scores) > reviewed.value).sum() == 3


def test_an_estimate_finds_the_tail_of_log_normal_scores_among_defects() -> None:
    generator = np.random.default_rng(0)
    good, defects = np.exp(generator.normal(-2, 0.2, 980)), np.full(20, 5.0)
    estimated = estimated_threshold([*good.tolist(), *defects.tolist()], RATE).value
    assert 0.003 < (good > estimated).mean() < 0.02
    assert (defects > estimated).all()


@given(st.lists(st.floats(0, 100, allow_nan=False), min_size=100, max_size=300))
def test_an_estimate_flags_no_less_than_the_promise_and_no_more_than_its_bound(scores: list[float]) -> None:
    value = estimated_threshold(scores, RATE).value * (1 + 1e-9)
    flagged = np.mean(np.maximum(scores, 1e-6) > value)
    assert flagged <= MAX_FLAG_RATE + 1 / len(scores)


def test_the_order_of_frames_does_not_matter() -> None:
    scores = np.random.default_rng(2).lognormal(size=120)
    assert estimated_threshold(scores.tolist(), RATE) == estimated_threshold(sorted(scores.tolist()), RATE)


def test_few_frames_have_no_threshold_of_their_own() -> None:
    with pytest.raises(InvalidNormalSet):
        estimated_threshold([0.1] * 29, RATE)
    with pytest.raises(InvalidNormalSet):
        reviewed_threshold([0.1] * 31, [True] * 2 + [False] * 29, RATE)
