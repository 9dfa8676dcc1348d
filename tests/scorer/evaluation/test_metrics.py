"""Metrics against cases worked by hand, scipy's rank statistic and a slow implementation."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu  # type: ignore[import-untyped]

from scorer.evaluation.metrics import PRO_LIMIT, auroc, average_precision, compute_pixel_metrics

scores = st.lists(st.integers(0, 9), min_size=1, max_size=30)


def test_auroc_counts_a_tie_half() -> None:
    # 2 beats 1, ties with 2, loses to 3; 4 beats all three: 4.5 of 6 pairs.
    assert auroc([1, 2, 3], [2, 4]) == 4.5 / 6


@given(scores, scores)
def test_auroc_is_the_rank_statistic_of_mann_and_whitney(good: list[int], bad: list[int]) -> None:
    expected = mannwhitneyu(bad, good).statistic / (len(good) * len(bad))
    assert auroc(good, bad) == pytest.approx(expected)


@given(scores, scores)
def test_swapping_good_and_bad_mirrors_auroc(good: list[int], bad: list[int]) -> None:
    assert auroc(good, bad) == pytest.approx(1 - auroc(bad, good))


def test_average_precision_equals_the_textbook_case() -> None:
    # 0.8 comes first (1 of 1 right), 0.4 is good, 0.35 is the second anomaly (2 of 3 right).
    assert average_precision([0.1, 0.4], [0.35, 0.8]) == pytest.approx((1 + 2 / 3) / 2)


def test_average_precision_of_ties_is_that_of_their_common_threshold() -> None:
    assert average_precision([5, 5, 5], [5]) == 1 / 4
    # 7 finds two anomalies and one good image at once, 6 the third anomaly: 2/3, 2/3, 3/4.
    assert average_precision([7, 1], [7, 7, 6]) == pytest.approx((2 / 3 + 2 / 3 + 3 / 4) / 3)


def test_average_precision_of_a_perfect_order_is_one() -> None:
    assert average_precision([1, 2], [3, 4, 4]) == 1


def test_regions_have_equal_weight_whatever_their_size() -> None:
    # Ten normal pixels at 0.0 to 0.9. A region of one pixel at 0.95; one of three at 0.95, 0.85 and -1. Up to a
    # false-positive rate of 0.1 the mean overlap is (1 + 1/3) / 2, from there to 0.3 it is (1 + 2/3) / 2.
    normal = np.arange(10) / 10
    metrics = compute_pixel_metrics(normal, np.array([0.95, 0.95, 0.85, -1]), np.array([1, 1 / 3, 1 / 3, 1 / 3]))
    assert metrics.aupro == pytest.approx((0.1 * 4 / 6 + 0.2 * 5 / 6) / 0.3)
    # Pixels with equal weight: two above all normals, one above nine, one above none.
    assert metrics.auroc == pytest.approx((1 + 1 + 0.9 + 0) / 4)


def test_a_constant_map_is_at_chance() -> None:
    metrics = compute_pixel_metrics(np.zeros(50), np.zeros(5), np.ones(5))
    assert metrics.auroc == pytest.approx(0.5)
    assert metrics.aupro == pytest.approx(PRO_LIMIT / 2)


def test_a_perfect_map_reaches_one() -> None:
    metrics = compute_pixel_metrics(np.zeros(50), np.ones(5), np.array([1, 1, 1, 0.5, 0.5]))
    assert (metrics.auroc, metrics.aupro) == pytest.approx((1, 1))


@given(st.lists(st.integers(0, 9), min_size=4, max_size=40), st.integers(1, 3), st.integers(0, 1000))
def test_pixel_metrics_equal_a_loop_over_thresholds(levels: list[int], regions: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    owners = np.concatenate([np.arange(regions), generator.integers(0, regions, 5)])
    anomalous = generator.integers(0, 10, len(owners)).astype(float)
    normal = np.array(levels, float)
    found = compute_pixel_metrics(normal, anomalous, 1 / np.bincount(owners)[owners])
    assert found.aupro == pytest.approx(aupro_by_loop(normal, anomalous, owners))
    assert found.auroc == pytest.approx(auroc(normal, anomalous))


def aupro_by_loop(
    normal: npt.NDArray[np.float64], anomalous: npt.NDArray[np.float64], owners: npt.NDArray[np.int64]
) -> float:
    """Integrate over every threshold by the trapezoid rule, up to the limit."""
    rates, overlaps = [0.0], [0.0]
    for threshold in sorted({*normal, *anomalous}, reverse=True):
        rates.append((normal >= threshold).mean())
        overlaps.append(np.mean([(anomalous[owners == owner] >= threshold).mean() for owner in set(owners)]))
    area = 0.0
    for left, right, low, high in zip(rates[:-1], rates[1:], overlaps[:-1], overlaps[1:], strict=True):
        if left >= PRO_LIMIT or right == left:
            continue
        end = min(right, PRO_LIMIT)
        at_end = low + (high - low) * (end - left) / (right - left)
        area += (end - left) * (low + at_end) / 2
    return area / PRO_LIMIT
