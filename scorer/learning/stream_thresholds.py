"""A threshold from the frames of a stream, some of which are defects.

The first normals were chosen by people, and are not drawn as the frames of a stream are; a threshold that is to keep
its promise on the stream is calibrated on it (Vovk et al., 2005). A stream holds defects. Dropping those that people
confirmed, and nothing else, keeps the promise: unconfirmed ones only raise the threshold (Bashari, Sesia and Romano,
ICML 2025, arXiv 2502.04807). How much they raise it, a line through the middle of the sorted logarithms estimates, by
what the good frames alone would reach, be it after answers or without any.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri  # type: ignore[import-untyped]

from scorer.errors import InvalidNormalSet
from scorer.recipes.calibration import MIN_SCORE, Calibration, calibrate

FloatArray = npt.NDArray[np.float64]

MIN_STREAM_FRAMES = 30
"""Fewer frames of a stream say too little of its highest scores."""

LINE_FROM, LINE_TO = 0.10, 0.85
"""The quantiles between which the line is fitted: above may lie defects, below the easiest frames."""

MAX_FLAG_RATE = 0.03
"""The largest share of unreviewed frames that an estimate flags; at 4 % one of five datasets flags 3.7 % good parts."""

MAX_EXCESS_AFTER_ANSWERS = 1.5
"""How many times the promised rate an estimate flags at most of the frames that are left after answers."""


def reviewed_threshold(
    scores: Sequence[float], is_confirmed_defect: Sequence[bool], false_reject_rate: float
) -> Calibration:
    """Calibrate on the frames of a stream without the defects that people confirmed.

    The limit is the conformal threshold whose rate is nearest to the promised one; with 200 frames the next below
    it is often half of it. Where the line estimates a lower value, defects that nobody found may have raised
    the limit, and the estimate counts, down to where `MAX_EXCESS_AFTER_ANSWERS` times the rate of the frames that are
    left would be flagged. That is no guarantee: the frames above it may be good parts as well.

    Args:
        scores: The score of each frame, by references that do not contain it.
        is_confirmed_defect: Whether a person called the frame a defect.
        false_reject_rate: A fraction between 0 and 1, both excluded.

    Raises:
        InvalidNormalSet: Fewer than `MIN_STREAM_FRAMES` frames are left, or a score is not finite.
    """
    left = [score for score, is_defect in zip(scores, is_confirmed_defect, strict=True) if not is_defect]
    _require_frames(len(left))
    limit = _nearest_conformal(left, false_reject_rate)
    logarithms = _sorted_logarithms(left)
    lowest = float(np.quantile(logarithms, max(0.0, 1 - MAX_EXCESS_AFTER_ANSWERS * false_reject_rate)))
    estimate = math.exp(max(_line(logarithms, false_reject_rate), lowest))
    if estimate >= limit.value:
        return limit
    highest_rate = 100 * MAX_EXCESS_AFTER_ANSWERS * false_reject_rate
    return Calibration(
        estimate,
        f"An estimate from {len(left)} frames without the confirmed defects; it assumes log-normally distributed "
        f"scores of good parts, and flags up to {highest_rate:.3g} % of these frames.",
    )


def estimated_threshold(
    scores: Sequence[float], false_reject_rate: float, max_flag_rate: float = MAX_FLAG_RATE
) -> Calibration:
    """Estimate the threshold from frames of which nobody reviewed one.

    The logarithms of good frames' scores are taken as normally distributed, and the line is fitted where defects do not
    disturb it. The result flags at least `false_reject_rate` of the frames, which good frames alone would be, and at
    most `max_flag_rate` of them, since a wrong line must not flag what no usual line has of defects.

    Args:
        scores: The score of each frame, by references that do not contain it.
        false_reject_rate: A fraction between 0 and `max_flag_rate`.
        max_flag_rate: A fraction up to 1.

    Raises:
        InvalidNormalSet: There are fewer than `MIN_STREAM_FRAMES` frames.
    """
    _require_frames(len(scores))
    logarithms = _sorted_logarithms(scores)
    lowest, highest = np.quantile(logarithms, [1 - max_flag_rate, 1 - false_reject_rate])
    return Calibration(
        math.exp(min(max(_line(logarithms, false_reject_rate), float(lowest)), float(highest))),
        f"An estimate from {len(scores)} frames that nobody reviewed; it assumes log-normally distributed scores of "
        "good parts. Review the frames that the station asks for to replace it.",
    )


def _nearest_conformal(left: Sequence[float], rate: float) -> Calibration:
    """Return the conformal threshold whose rate, k of count + 1, is nearest to `rate`; that of few frames for k = 0."""
    flagged = math.floor(rate * (len(left) + 1) + 0.5)
    return calibrate(left, max(rate, flagged / (len(left) + 1)))


def _sorted_logarithms(scores: Sequence[float]) -> FloatArray:
    logarithms: FloatArray = np.log(np.maximum(np.sort(np.asarray(scores, np.float64)), MIN_SCORE))
    return logarithms


def _line(logarithms: FloatArray, rate: float) -> float:
    """Return where the line through the middle of sorted logarithms is exceeded by `rate` of good frames."""
    quantiles = (np.arange(len(logarithms)) + 0.5) / len(logarithms)
    middle = (quantiles >= LINE_FROM) & (quantiles <= LINE_TO)
    slope, intercept = np.polyfit(ndtri(quantiles[middle]), logarithms[middle], 1)
    return float(intercept + slope * ndtri(1 - rate))


def _require_frames(count: int) -> None:
    if count < MIN_STREAM_FRAMES:
        raise InvalidNormalSet(f"A stream needs {MIN_STREAM_FRAMES} frames for a threshold of its own, not {count}.")
