"""Thresholds from the normals' own scores, and their guarantees."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from scorer.errors import InvalidNormalSet
from scorer.recipes.calibration import calibrate

Scores = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Scores]


def simulated_false_rejects(normals: int, rate: float, draw: Draw, rounds: int = 4000) -> float:
    """Return the fraction of further good parts above the threshold, on average over many normal sets."""
    random = np.random.default_rng(7)
    above = 0.0
    for _ in range(rounds):
        threshold = calibrate(draw(random, normals).tolist(), rate).value
        above += float((draw(random, 50) > threshold).mean())
    return above / rounds


def lognormal(spread: float) -> Draw:
    return lambda random, count: np.exp(random.normal(-3, spread, count))


def gamma(random: np.random.Generator, count: int) -> Scores:
    return random.gamma(20.0, 0.01, count)


def test_with_enough_normals_the_threshold_is_an_order_statistic() -> None:
    scores = [float(number) for number in range(1, 20)]
    calibration = calibrate(scores[::-1], 0.1)
    assert calibration.value == 18.0  # the 18th of 19: exceeded by at most 1 - 18/20
    assert all(named in calibration.guarantee for named in ("10 %", "19 normals"))


@pytest.mark.parametrize("draw", [lognormal(0.15), lognormal(0.6), gamma])
def test_the_guaranteed_rate_holds_for_any_distribution(draw: Draw) -> None:
    assert simulated_false_rejects(19, 0.1, draw, rounds=1500) <= 0.105


def test_eight_normals_cannot_guarantee_one_percent() -> None:
    guarantee = calibrate([0.1, 0.11, 0.12, 0.1, 0.13, 0.12, 0.11, 0.1], 0.01).guarantee
    assert all(named in guarantee for named in ("11.1 %", "99 normals"))


@pytest.mark.parametrize(("normals", "max_rate"), [(2, 0.02), (4, 0.02), (8, 0.015), (32, 0.015)])
def test_the_estimate_is_about_one_percent_for_usual_score_distributions(normals: int, max_rate: float) -> None:
    assert simulated_false_rejects(normals, 0.01, lognormal(0.15)) <= max_rate
    assert simulated_false_rejects(normals, 0.01, gamma) <= 2.5 * max_rate


def test_the_guaranteed_bound_holds_for_widely_varying_scores() -> None:
    for normals in (2, 4, 8):
        assert simulated_false_rejects(normals, 0.01, lognormal(0.8)) <= 1 / (normals + 1)


def test_the_estimate_is_never_below_the_largest_normal_and_grows_as_the_rate_falls() -> None:
    scores = [0.1, 0.1, 0.1, 0.5]
    values = [calibrate(scores, rate).value for rate in (0.15, 0.05, 0.01, 0.001)]
    assert min(values) >= 0.5
    assert values == sorted(values)


def test_the_threshold_scales_with_the_scores_and_ignores_their_order() -> None:
    scores = [0.1, 0.12, 0.09, 0.11]
    value = calibrate(scores, 0.01).value
    assert math.isclose(calibrate([1000 * score for score in scores], 0.01).value, 1000 * value, rel_tol=1e-9)
    assert calibrate(scores[::-1], 0.01).value == value


def test_equal_normals_give_a_finite_threshold() -> None:
    assert 0 < calibrate([0.0, 0.0], 0.01).value < 1e-4


def test_too_few_or_broken_scores_are_refused() -> None:
    for scores in ([], [0.1], [0.1, float("nan")], [0.1, float("inf")]):
        with pytest.raises(InvalidNormalSet):
            calibrate(scores, 0.01)
