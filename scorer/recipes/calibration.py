"""Calibrate a threshold from the scores of normals, and state what that many normals can guarantee (docs/adr/0007)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import stdtrit  # type: ignore[import-untyped]

from scorer.errors import InvalidNormalSet

PRIOR_LOG_STD = 0.25
"""Usual standard deviation of the logarithm of good parts' scores at real stations, which few normals can't show."""

PRIOR_DEGREES_OF_FREEDOM = 4.0
"""Degrees of freedom that the usual spread counts for, added to those of the normals."""

MIN_SCORE = 1e-6
"""Smaller scores count as this one, because their logarithm is taken."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A score above `value` is flagged; `guarantee` states in one or two sentences how far that can be trusted."""

    value: float
    guarantee: str


def calibrate(normal_scores: Sequence[float], false_reject_rate: float) -> Calibration:
    """Choose a threshold that flags at most `false_reject_rate` of good parts.

    With n normals, the k-th smallest score is exceeded by at most 1 − k/(n + 1) of parts of the same kind, whatever
    their distribution (split conformal prediction, Vovk et al. 2005). Where no k reaches the rate, the logarithms are
    taken as normally distributed, with a spread that is shrunk towards the usual one, and the value is their prediction
    limit, never below the largest score of the normals.

    Args:
        normal_scores: The leave-one-out score of each normal, in any order.
        false_reject_rate: A fraction between 0 and 1, both excluded.

    Raises:
        InvalidNormalSet: There are fewer than two scores, or one is not finite.
    """
    scores = sorted(float(score) for score in normal_scores)
    count = len(scores)
    if count < 2:
        raise InvalidNormalSet(f"A threshold needs the scores of at least 2 normal images; there {_are(count)}.")
    if not all(math.isfinite(score) for score in scores):
        raise InvalidNormalSet("A normal image has a score that is not finite; look for a broken image in the set.")
    if not 0 < false_reject_rate < 1:
        raise ValueError(f"false_reject_rate is a fraction between 0 and 1, not {false_reject_rate}")
    rank = math.ceil((1 - false_reject_rate) * (count + 1) - 1e-9)
    if rank <= count:
        return Calibration(
            scores[rank - 1],
            f"At most {_percent(1 - rank / (count + 1))} of good parts like these {count} normals are flagged, on "
            "average over normal sets of this size and whatever their distribution.",
        )
    return Calibration(
        max(scores[-1], _prediction_limit(scores, false_reject_rate)),
        f"{count} normals guarantee a false-reject rate of at most {_percent(1 / (count + 1))}; "
        f"{_percent(false_reject_rate)} is an estimate that assumes log-normally distributed scores. A guarantee of "
        f"{_percent(false_reject_rate)} needs {_needed(false_reject_rate)} normals.",
    )


def _prediction_limit(scores: Sequence[float], rate: float) -> float:
    """Return the upper prediction limit of the next score: Student's t over logarithms (Gelman et al., BDA, 3.3)."""
    logarithms = [math.log(max(score, MIN_SCORE)) for score in scores]
    count = len(logarithms)
    mean = math.fsum(logarithms) / count
    squares = math.fsum((value - mean) ** 2 for value in logarithms)
    degrees = PRIOR_DEGREES_OF_FREEDOM + count - 1
    spread = math.sqrt((PRIOR_DEGREES_OF_FREEDOM * PRIOR_LOG_STD**2 + squares) / degrees)
    return math.exp(mean + float(stdtrit(degrees, 1 - rate)) * spread * math.sqrt(1 + 1 / count))


def _needed(rate: float) -> int:
    return math.ceil(1 / rate - 1 - 1e-9)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g} %"


def _are(count: int) -> str:
    return "is 1" if count == 1 else f"are {count}"
