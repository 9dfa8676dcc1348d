"""Control charts: individuals with moving range, EWMA, tabular CUSUM, and the Western Electric rules.

Every chart compares values with the centre and sigma of a time when all was well. Anomaly scores are right-skewed, so
Andon draws its charts over log-scores (`log_scores`): a shift of the log is a factor on the score.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Values = Sequence[float] | NDArray[np.float64]
Signal = Literal["WE1", "WE2", "WE3", "WE4", "EWMA", "CUSUM"]

D2 = 1.128  # mean range of two normal values, in sigmas (Montgomery, appendix VI)
D4 = 3.267  # upper limit of a moving range of two, in mean ranges
MEDIAN_RANGE = 0.9539  # median range of two normal values, in sigmas: √2 · Φ⁻¹(0.75)
SCORE_FLOOR = 1e-9  # used in place of a score of 0, which has no logarithm
MIN_VALUES = 2  # values from which a centre and a moving range can be taken

SAMPLE_SIZE_CORRECTION = (
    1.5  # standard errors of the centre by which `InControl.corrected_for_sample_size` widens sigma: docs/adr/0021
)

EWMA_WEIGHT, EWMA_WIDTH = 0.1, 2.7  # Montgomery's λ and L, for an average run length near 500
CUSUM_SLACK, CUSUM_LIMIT = 0.5, 5.0  # k and h in sigmas: meant for shifts of one sigma


@dataclass(frozen=True, slots=True)
class InControlProcess:
    """Centre and sigma of a process in control, estimated from `count` values."""

    centre: float
    sigma: float
    count: int

    def standardized(self, values: Values) -> NDArray[np.float64]:
        """Return the values as distances from the centre in sigmas."""
        return (np.asarray(values, dtype=np.float64) - self.centre) / self.sigma

    def corrected_for_sample_size(self) -> "InControlProcess":
        """Return the process with a larger sigma, which makes up for estimating it from only `count` values.

        After Albers and Kallenberg, "Are estimated control charts in control?" (Statistics 38, 2004): limits
        that were estimated from few values stay wrong, and may give false alarms again and again.
        """
        return replace(self, sigma=self.sigma * (1 + SAMPLE_SIZE_CORRECTION / math.sqrt(self.count)))


@dataclass(frozen=True, slots=True)
class ControlChart:
    """Points with their limits, all of one length; `signals[i]` names the rules that point i breaks."""

    points: NDArray[np.float64]
    centre: float
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    signals: tuple[tuple[Signal, ...], ...]

    @property
    def first_signal(self) -> int | None:
        """The index of the first point out of control, or None."""
        return next((index for index, violations in enumerate(self.signals) if violations), None)


@dataclass(frozen=True, slots=True)
class CusumChart:
    """Both sums in sigmas, and for how many points each has been above zero, which estimates when a shift began."""

    high: NDArray[np.float64]
    low: NDArray[np.float64]
    high_since: tuple[int, ...]
    low_since: tuple[int, ...]
    limit: float
    signals: tuple[tuple[Signal, ...], ...]

    @property
    def first_signal(self) -> int | None:
        """The index of the first point out of control, or None."""
        return next((index for index, violations in enumerate(self.signals) if violations), None)


def log_scores(scores: Values) -> NDArray[np.float64]:
    """Return the natural logarithms of scores; scores below `SCORE_FLOOR` count as that."""
    return np.log(np.maximum(np.asarray(scores, dtype=np.float64), SCORE_FLOOR))


def moving_ranges(values: Values) -> NDArray[np.float64]:
    """Return the absolute difference of each value but the first from the one before it."""
    return np.abs(np.diff(np.asarray(values, dtype=np.float64)))


def in_control(values: Values, *, robust: bool = False) -> InControlProcess:
    """Estimate centre and sigma of an in-control period, sigma as the mean moving range over d2.

    With `robust`, the median and the median moving range over 0.9539: a few outliers in the period then do no harm, at
    the price of needing about twice as many values. Raises `ValueError` for fewer than two values, and for values that
    never move.
    """
    found = np.asarray(values, dtype=np.float64)
    if len(found) < MIN_VALUES:
        raise ValueError(f"Limits need at least {MIN_VALUES} values of an in-control period, not {len(found)}.")
    ranges = moving_ranges(found)
    centre = float(np.median(found) if robust else np.mean(found))
    sigma = float(np.median(ranges) / MEDIAN_RANGE if robust else np.mean(ranges) / D2)
    if sigma <= 0:
        raise ValueError("The values of the in-control period are all equal, so no limits can be computed from them.")
    return InControlProcess(centre, sigma, len(found))


def individuals(values: Values, process: InControlProcess) -> ControlChart:
    """Return Shewhart's individuals chart with limits at 3 sigma and the Western Electric rules."""
    points = np.asarray(values, dtype=np.float64)
    edge = np.full(len(points), 3 * process.sigma)
    return ControlChart(
        points, process.centre, process.centre - edge, process.centre + edge, western_electric(points, process)
    )


def moving_range_chart(values: Values, process: InControlProcess) -> ControlChart:
    """Return the moving range chart, one point shorter; its upper limit is D4 mean ranges."""
    ranges = moving_ranges(values)
    mean_range = process.sigma * D2
    lower, upper = np.zeros(len(ranges)), np.full(len(ranges), D4 * mean_range)
    signals: list[tuple[Signal, ...]] = [("WE1",) if one > D4 * mean_range else () for one in ranges]
    return ControlChart(ranges, mean_range, lower, upper, tuple(signals))


def ewma(
    values: Values, process: InControlProcess, weight: float = EWMA_WEIGHT, width: float = EWMA_WIDTH
) -> ControlChart:
    """Return the EWMA chart with exact, time-varying limits (Roberts 1959; Montgomery 9.2).

    `weight` is λ in (0, 1], `width` is L in sigmas of the average.
    """
    points = ewma_points(np.asarray(values, dtype=np.float64), process.centre, weight)
    count = np.arange(1, len(points) + 1)
    edge = width * process.sigma * np.sqrt(weight / (2 - weight) * (1 - (1 - weight) ** (2 * count)))
    signals: list[tuple[Signal, ...]] = [
        ("EWMA",) if abs(point - process.centre) > limit else () for point, limit in zip(points, edge, strict=True)
    ]
    return ControlChart(points, process.centre, process.centre - edge, process.centre + edge, tuple(signals))


def ewma_points(values: NDArray[np.float64], start: float, weight: float) -> NDArray[np.float64]:
    """Return z[i] = λ x[i] + (1 - λ) z[i-1], starting from `start`."""
    points = np.empty(len(values))
    previous = start
    for index, value in enumerate(values.tolist()):
        previous = weight * value + (1 - weight) * previous
        points[index] = previous
    return points


def cusum(
    values: Values,
    process: InControlProcess,
    slack: float = CUSUM_SLACK,
    limit: float = CUSUM_LIMIT,
    head_start: float = 0.0,
) -> CusumChart:
    """Return the tabular CUSUM of standardized values (Page 1954; Montgomery 9.1), not reset by a signal.

    `slack` is k and `limit` is h, in sigmas. `head_start` is the fast initial response of Lucas and Crosier (1982) as
    a share of h; 0.5 is usual.
    """
    high, low = head_start * limit, head_start * limit
    since_high, since_low = 0, 0
    sums_high, sums_low, starts_high, starts_low = [], [], [], []
    for z in process.standardized(values).tolist():
        high, low = max(0.0, z - slack + high), max(0.0, -z - slack + low)
        since_high, since_low = (since_high + 1 if high > 0 else 0), (since_low + 1 if low > 0 else 0)
        sums_high.append(high)
        sums_low.append(low)
        starts_high.append(since_high)
        starts_low.append(since_low)
    signals: list[tuple[Signal, ...]] = [
        ("CUSUM",) if max(pair) > limit else () for pair in zip(sums_high, sums_low, strict=True)
    ]
    return CusumChart(
        np.array(sums_high), np.array(sums_low), tuple(starts_high), tuple(starts_low), limit, tuple(signals)
    )


def western_electric(values: Values, process: InControlProcess) -> tuple[tuple[Signal, ...], ...]:
    """Return the rules that each point breaks (Western Electric, Statistical Quality Control Handbook, 1956).

    WE1: one point beyond 3 sigma. WE2: two of three beyond 2 sigma on one side. WE3: four of five beyond 1 sigma on
    one side. WE4: eight in a row on one side. A point breaks a rule when it is one of the points counted.
    """
    z = process.standardized(values)
    violations: list[tuple[Signal, ...]] = []
    for index in range(len(z)):
        here = z[: index + 1]
        found: list[Signal] = ["WE1"] if abs(here[-1]) > 3 else []
        if _of_the_last(here, 3, 2.0) >= 2:
            found.append("WE2")
        if _of_the_last(here, 5, 1.0) >= 4:
            found.append("WE3")
        if _of_the_last(here, 8, 0.0) >= 8:
            found.append("WE4")
        violations.append(tuple(found))
    return tuple(violations)


def _of_the_last(z: NDArray[np.float64], window: int, beyond: float) -> int:
    """Return how many of the last `window` values lie beyond, on the last one's side; 0 if the last does not."""
    side = math.copysign(1.0, z[-1])
    if z[-1] * side <= beyond:
        return 0
    return int(np.count_nonzero(z[-window:] * side > beyond))
