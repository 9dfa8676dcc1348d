"""Metrics of how well scores separate anomalies from normals, for whole images and for pixels; ties count half.

Both pixel metrics are one area. An anomalous pixel is detected once the false-positive rate reaches the share of
normal pixels that score above it. Integrated over false-positive rates this gives AUROC; with equal weight for every
region and a bounded rate it gives the per-region overlap of MVTec AD (Bergmann et al., IJCV 2021, section 5.1).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PRO_LIMIT = 0.3
"""AUPRO is integrated up to this false-positive rate of pixels, and divided by it."""

Values = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class PixelMetrics:
    """Area under the ROC curve of pixels, and under the per-region overlap up to 30 % false positives; in [0, 1]."""

    auroc: float
    aupro: float


def auroc(good: npt.ArrayLike, bad: npt.ArrayLike) -> float:
    """Return the probability that an anomaly, of `bad` (N,), scores above a normal, of `good` (M,); ties count half."""
    first, last = _overtaking_rates(np.asarray(good, np.float64), np.asarray(bad, np.float64))
    return float(1 - ((first + last) / 2).mean())


def average_precision(good: npt.ArrayLike, bad: npt.ArrayLike) -> float:
    """Return the average precision of `bad` (N,) against `good` (M,): a step-wise sum without interpolation.

    It is the mean over anomalies of the precision at their score. Equal scores share one threshold, so the order of
    ties does not matter.
    """
    normals, anomalies = np.sort(np.asarray(good, np.float64)), np.sort(np.asarray(bad, np.float64))
    true = len(anomalies) - np.searchsorted(anomalies, anomalies, "left")
    false = len(normals) - np.searchsorted(normals, anomalies, "left")
    return float((true / (true + false)).mean())


def compute_pixel_metrics(normal: Values, anomalous: Values, weights: Values) -> PixelMetrics:
    """Return the pixel metrics.

    Args:
        normal: Scores of normal pixels, (N,).
        anomalous: Scores of anomalous pixels, (M,).
        weights: One over the size of each anomalous pixel's region, (M,).
    """
    first, last = _overtaking_rates(normal, anomalous)
    uniform = np.full(len(anomalous), 1 / len(anomalous))
    return PixelMetrics(
        auroc=_area(uniform, first, last, 1.0),
        aupro=_area(weights / weights.sum(), first, last, PRO_LIMIT) / PRO_LIMIT,
    )


def _overtaking_rates(normal: Values, anomalous: Values) -> tuple[Values, Values]:
    """Return the share of normals that score above each anomaly, and the share at or above it: (M,) twice."""
    ordered = np.sort(normal)
    above = 1 - np.searchsorted(ordered, anomalous, "right") / len(ordered)
    not_below = 1 - np.searchsorted(ordered, anomalous, "left") / len(ordered)
    return above, not_below


def _area(weights: Values, first: Values, last: Values, limit: float) -> float:
    """Integrate the weight that is detected at each false-positive rate, up to `limit`.

    Among ties, between the rates `first` and `last`, detection grows linearly: the trapezoid rule.
    """
    after = np.maximum(0.0, limit - last)
    tie = np.maximum(last - first, np.finfo(np.float64).tiny)
    within = np.clip(limit - first, 0.0, last - first)
    return float((weights * (after + within**2 / (2 * tie))).sum())
