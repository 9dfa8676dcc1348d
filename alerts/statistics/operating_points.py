"""Operating points: thresholds that a station could work at, by what they would have done to frames that people know.

Three of them answer three wishes: to miss no known defect, to flag no good part, and to pay the least for both kinds of
error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

OperatingPointName = Literal["miss_nothing", "least_cost", "flag_no_good_part"]

MIN_DEFECTS = 8
"""Fewer known defects say too little of what a threshold would miss."""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold and its errors on known frames.

    Attributes:
        name: Which wish it answers.
        threshold: A score above it is flagged.
        missed: Known defects that would pass.
        defects: Known defects.
        flagged_good: Good frames that would be flagged.
        good: Good frames.
    """

    name: OperatingPointName
    threshold: float
    missed: int
    defects: int
    flagged_good: int
    good: int


def operating_points(
    good: Sequence[float], defects: Sequence[float], good_parts_per_miss: float
) -> tuple[OperatingPoint, ...]:
    """Return the three points in the order of their thresholds, lowest first; none with too few known frames.

    A threshold lies in the middle between two neighbouring scores, so that a slightly different part is decided alike.

    Args:
        good: Scores of good frames.
        defects: Scores of known defects; `MIN_DEFECTS` or more.
        good_parts_per_miss: How many flagged good parts cost as much as one missed defect, above 0.
    """
    if len(defects) < MIN_DEFECTS or not good:
        return ()
    scores = np.unique(np.asarray([*good, *defects], np.float64))
    below_all = scores[0] / 2 if scores[0] > 0 else np.nextafter(scores[0], -np.inf)
    candidates = np.concatenate([[below_all], (scores[:-1] + scores[1:]) / 2, scores[-1:]])
    missed = np.searchsorted(np.sort(defects), candidates, side="right")  # at or below the threshold
    flagged = len(good) - np.searchsorted(np.sort(good), candidates, side="right")
    costs = good_parts_per_miss * missed + flagged
    gaps = np.diff(scores, prepend=0.0, append=scores[-1])  # around each candidate
    wanted: dict[OperatingPointName, npt.NDArray[np.bool_]] = {
        "miss_nothing": missed == 0,
        "least_cost": np.isclose(costs, costs.min()),
        "flag_no_good_part": flagged == 0,
    }
    best: dict[OperatingPointName, int] = {
        "miss_nothing": int(np.flatnonzero(wanted["miss_nothing"])[-1]),
        "least_cost": int(np.where(wanted["least_cost"], gaps, -1.0).argmax()),
        "flag_no_good_part": int(np.flatnonzero(wanted["flag_no_good_part"])[0]),
    }
    points = [
        OperatingPoint(name, float(candidates[index]), int(missed[index]), len(defects), int(flagged[index]), len(good))
        for name, index in best.items()
    ]
    return tuple(sorted(points, key=lambda point: point.threshold))
