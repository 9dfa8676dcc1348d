"""How well scores tell anomalies from normals: of whole images and of pixels. Pure numpy, ties counted by half.

Both pixel figures are one area: each anomalous pixel is found once the false-positive rate has reached the share of
normal pixels that score above it; integrating that over false-positive rates gives AUROC and, with every region
weighing the same and the rate bounded, the per-region overlap of MVTec AD (Bergmann et al., IJCV 2021, section 5.1).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PRO_LIMIT = 0.3
"""AUPRO is taken up to this share of normal pixels that are flagged, and divided by it."""

Values = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class PixelMetrics:
    """Area under the pixels' ROC curve, and under the per-region overlap up to 30 % false positives; in [0, 1]."""

    auroc: float
    aupro: float


def auroc(good: npt.ArrayLike, bad: npt.ArrayLike) -> float:
    """How often an anomaly (N,) scores above a normal (M,), ties by half."""
    first, last = _overtaken_by(np.asarray(good, np.float64), np.asarray(bad, np.float64))
    return float(1 - ((first + last) / 2).mean())


def average_precision(good: npt.ArrayLike, bad: npt.ArrayLike) -> float:
    """AUPRC as the mean over anomalies of the precision at their score: the step-wise sum, without interpolation.

    Equal scores share one threshold, so neither order of a tie is lucky.
    """
    normals, anomalies = np.sort(np.asarray(good, np.float64)), np.sort(np.asarray(bad, np.float64))
    true = len(anomalies) - np.searchsorted(anomalies, anomalies, "left")
    false = len(normals) - np.searchsorted(normals, anomalies, "left")
    return float((true / (true + false)).mean())


def compute_pixel_metrics(normal: Values, anomalous: Values, weights: Values) -> PixelMetrics:
    """Of the scores of normal pixels (N,) and anomalous ones (M,); `weights` (M,): 1 / the size of one's region."""
    first, last = _overtaken_by(normal, anomalous)
    uniform = np.full(len(anomalous), 1 / len(anomalous))
    return PixelMetrics(
        auroc=_area(uniform, first, last, 1.0),
        aupro=_area(weights / weights.sum(), first, last, PRO_LIMIT) / PRO_LIMIT,
    )


def _overtaken_by(normal: Values, anomalous: Values) -> tuple[Values, Values]:
    """The share of normals that score above each anomaly, and the share at or above it: (M,) twice."""
    ordered = np.sort(normal)
    above = 1 - np.searchsorted(ordered, anomalous, "right") / len(ordered)
    not_below = 1 - np.searchsorted(ordered, anomalous, "left") / len(ordered)
    return above, not_below


def _area(weights: Values, first: Values, last: Values, limit: float) -> float:
    """The integral, up to a false-positive rate of `limit`, of the weight that is found at each rate.

    Among ties, between the rates `first` and `last`, what is found grows in proportion: the trapezoid rule.
    """
    after = np.maximum(0.0, limit - last)
    tie = np.maximum(last - first, np.finfo(np.float64).tiny)
    within = np.clip(limit - first, 0.0, last - first)
    return float((weights * (after + within**2 / (2 * tie))).sum())
