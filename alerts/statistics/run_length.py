"""How many points a chart takes to signal, on average, by theory: for normal values with a shift in sigmas.

The shift is there from the first point on, and the chart begins at its target (the zero-state run length).
"""

import math

import numpy as np
from scipy.stats import norm  # type: ignore[import-untyped]

STATES = 201  # of the Markov chains; twice as many change the tables' last digit at most
SIEGMUND_EXCESS = 1.166  # mean overshoot of a normal walk over both borders, in sigmas


def shewhart(shift: float, width: float = 3.0) -> float:
    """Individuals chart with limits at ± `width` sigma: exact."""
    return float(1 / (norm.sf(width - shift) + norm.cdf(-width - shift)))


def ewma(shift: float, weight: float, width: float) -> float:
    """EWMA with its limits as they are after long (Lucas and Saccucci 1990), by the Markov chain of Brook and Evans."""
    edge = width * math.sqrt(weight / (2 - weight))
    half = edge / STATES
    centres = -edge + half * (2 * np.arange(STATES) + 1)
    here, there = centres[:, None], centres[None, :]
    upper = (there + half - (1 - weight) * here) / weight - shift
    lower = (there - half - (1 - weight) * here) / weight - shift
    return _from_state(norm.cdf(upper) - norm.cdf(lower), STATES // 2)


def cusum_one_sided(shift: float, slack: float, limit: float, head_start: float = 0.0) -> float:
    """Upper CUSUM by the Markov chain of Brook and Evans (1972); `head_start` is a share of the limit."""
    step = 2 * limit / (2 * STATES - 1)
    sums = step * np.arange(STATES)
    upper = sums[None, :] + step / 2 - sums[:, None] + slack - shift
    lower = upper - step
    stays = norm.cdf(upper) - norm.cdf(lower)
    stays[:, 0] = norm.cdf(upper[:, 0])
    return _from_state(stays, min(round(head_start * limit / step), STATES - 1))


def cusum(shift: float, slack: float, limit: float) -> float:
    """Both sides together: 1/ARL = 1/ARL⁺ + 1/ARL⁻ (Van Dobben de Bruyn 1968)."""
    return 1 / (1 / cusum_one_sided(shift, slack, limit) + 1 / cusum_one_sided(-shift, slack, limit))


def siegmund(shift: float, slack: float, limit: float) -> float:
    """Upper CUSUM by Siegmund's approximation (1985): (e^(-2Δb) + 2Δb - 1) / 2Δ², Δ = shift - k, b = h + 1.166."""
    drift, reach = shift - slack, limit + SIEGMUND_EXCESS
    if drift == 0:
        return reach**2
    return (math.exp(-2 * drift * reach) + 2 * drift * reach - 1) / (2 * drift**2)


def consecutive(share: float, count: int) -> float:
    """Mean number of frames until `count` flagged ones in a row, each flagged with `share` (Feller, XIII.7)."""
    return (1 - share**count) / ((1 - share) * share**count) if share < 1 else float(count)


def k_of_n(share: float, k: int, n: int) -> float:
    """Mean number of frames until `k` of the last `n` were flagged, by the chain over the last n - 1 frames' pattern.

    Patterns with k or more flagged never occur before the signal, which keeps the chain small.
    """
    patterns = [()] if n == 1 else _patterns(n - 1, k)
    places = {pattern: index for index, pattern in enumerate(patterns)}
    stays = np.zeros((len(patterns), len(patterns)))
    for pattern, index in places.items():
        stays[index, places[_shifted(pattern, n - 1, flagged=False)]] += 1 - share
        flagged = _shifted(pattern, n - 1, flagged=True)
        if len(pattern) + 1 < k:
            stays[index, places[flagged]] += share
    return _from_state(stays, places[()])


def _patterns(length: int, k: int) -> list[tuple[int, ...]]:
    """Ages (1 is the newest) of the flagged frames among the last `length`, fewer than k of them."""
    from itertools import combinations

    return [ages for count in range(k) for ages in combinations(range(1, length + 1), count)]


def _shifted(ages: tuple[int, ...], length: int, *, flagged: bool) -> tuple[int, ...]:
    older = tuple(age + 1 for age in ages if age < length)
    return ((1, *older) if length else ()) if flagged else older


def _from_state(stays: np.ndarray, start: int) -> float:
    """Mean number of steps before a chain leaves its states, from `start`: the row of (I - Q)⁻¹ 1."""
    size = len(stays)
    return float(np.linalg.solve(np.eye(size) - stays, np.ones(size))[start])
