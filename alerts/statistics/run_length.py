"""Average run lengths of control charts in theory, for normal values with a shift in sigmas.

The shift is present from the first point on, and the chart starts at its target (the zero-state run length).
"""

import math

import numpy as np
from scipy.stats import norm  # type: ignore[import-untyped]

STATES = 201  # of the Markov chains; twice as many change the tables' last digit at most
SIEGMUND_EXCESS = 1.166  # mean overshoot of a normal walk over both borders, in sigmas


def shewhart(shift: float, width: float = 3.0) -> float:
    """Return the exact ARL of an individuals chart with limits at ± `width` sigma."""
    return float(1 / (norm.sf(width - shift) + norm.cdf(-width - shift)))


def ewma(shift: float, weight: float, width: float) -> float:
    """Return the ARL of an EWMA with asymptotic limits (Lucas and Saccucci 1990), by Brook and Evans's Markov chain."""
    edge = width * math.sqrt(weight / (2 - weight))
    half = edge / STATES
    centres = -edge + half * (2 * np.arange(STATES) + 1)
    old, new = centres[:, None], centres[None, :]
    upper = (new + half - (1 - weight) * old) / weight - shift
    lower = (new - half - (1 - weight) * old) / weight - shift
    return _run_length_from(norm.cdf(upper) - norm.cdf(lower), STATES // 2)


def cusum_one_sided(shift: float, slack: float, limit: float, head_start: float = 0.0) -> float:
    """Return the ARL of an upper CUSUM by Brook and Evans's Markov chain; `head_start` is a share of the limit."""
    step = 2 * limit / (2 * STATES - 1)
    sums = step * np.arange(STATES)
    upper = sums[None, :] + step / 2 - sums[:, None] + slack - shift
    lower = upper - step
    transitions = norm.cdf(upper) - norm.cdf(lower)
    transitions[:, 0] = norm.cdf(upper[:, 0])
    return _run_length_from(transitions, min(round(head_start * limit / step), STATES - 1))


def cusum(shift: float, slack: float, limit: float) -> float:
    """Return the ARL of a two-sided CUSUM: 1/ARL = 1/ARL⁺ + 1/ARL⁻ (Van Dobben de Bruyn 1968)."""
    return 1 / (1 / cusum_one_sided(shift, slack, limit) + 1 / cusum_one_sided(-shift, slack, limit))


def siegmund(shift: float, slack: float, limit: float) -> float:
    """Return the ARL of an upper CUSUM by Siegmund's approximation (1985).

    It is (e^(-2Δb) + 2Δb - 1) / 2Δ² with Δ = shift - k and b = h + 1.166.
    """
    drift, barrier = shift - slack, limit + SIEGMUND_EXCESS
    if drift == 0:
        return barrier**2
    return (math.exp(-2 * drift * barrier) + 2 * drift * barrier - 1) / (2 * drift**2)


def consecutive(probability: float, count: int) -> float:
    """Return the mean number of frames until `count` in a row are flagged, each with that probability (Feller)."""
    return (1 - probability**count) / ((1 - probability) * probability**count) if probability < 1 else float(count)


def k_of_n(probability: float, k: int, n: int) -> float:
    """Return the mean number of frames until `k` of the last `n` are flagged, by a chain over the last n - 1 frames.

    Patterns with k or more flagged never occur before the signal, which keeps the chain small.
    """
    patterns = [()] if n == 1 else _patterns(n - 1, k)
    state_of = {pattern: index for index, pattern in enumerate(patterns)}
    transitions = np.zeros((len(patterns), len(patterns)))
    for pattern, index in state_of.items():
        transitions[index, state_of[_shifted(pattern, n - 1, flagged=False)]] += 1 - probability
        flagged = _shifted(pattern, n - 1, flagged=True)
        if len(pattern) + 1 < k:
            transitions[index, state_of[flagged]] += probability
    return _run_length_from(transitions, state_of[()])


def _patterns(length: int, k: int) -> list[tuple[int, ...]]:
    """Return every set of ages (1 is the newest) of fewer than k flagged frames among the last `length`."""
    from itertools import combinations

    return [ages for count in range(k) for ages in combinations(range(1, length + 1), count)]


def _shifted(ages: tuple[int, ...], length: int, *, flagged: bool) -> tuple[int, ...]:
    older = tuple(age + 1 for age in ages if age < length)
    return ((1, *older) if length else ()) if flagged else older


def _run_length_from(transitions: np.ndarray, start: int) -> float:
    """Return the mean number of steps before a chain leaves its states, from `start`: a row of (I - Q)⁻¹ 1."""
    size = len(transitions)
    return float(np.linalg.solve(np.eye(size) - transitions, np.ones(size))[start])
