"""Confidence intervals of a share: Wilson, Clopper-Pearson, and the hypergeometric one for a finite population."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

from scipy.stats import beta  # type: ignore[import-untyped]

CONFIDENCE = 0.95
MAX_WIDTH = 0.30
"""A share whose interval is wider says nothing: a defect among 13 samples can mean that 0.2 % are, or that 36 % are."""

NOT_ENOUGH = "not enough reviews"
"""Stands for the number of a share that is not conclusive."""

NEGLIGIBLE = 1e-16  # relative to a sum: smaller terms are lost in rounding


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share in [0, 1] with the ends of its confidence interval."""

    value: float
    low: float
    high: float

    @property
    def is_conclusive(self) -> bool:
        """Whether the interval is narrow enough for the share to be told as a number."""
        return self.high - self.low <= MAX_WIDTH


def wilson(hits: int, trials: int, confidence: float = CONFIDENCE) -> Estimate | None:
    """Return the score interval (Wilson 1927): its mean coverage is nominal, also near 0. None without trials."""
    if trials == 0:
        return None
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    proportion = hits / trials
    middle = (proportion + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * math.sqrt(proportion * (1 - proportion) / trials + z**2 / (4 * trials**2))
    return Estimate(
        proportion, max(middle - half, 0.0) if hits else 0.0, min(middle + half, 1.0) if hits < trials else 1.0
    )


def clopper_pearson(hits: int, trials: int, confidence: float = CONFIDENCE) -> Estimate | None:
    """Return the exact interval (Clopper and Pearson 1934): it never covers too little. None without trials."""
    if trials == 0:
        return None
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, hits, trials - hits + 1)) if hits else 0.0
    high = float(beta.isf(tail, hits + 1, trials - hits)) if hits < trials else 1.0
    return Estimate(hits / trials, low, high)


@lru_cache(maxsize=20_000)  # a table of KPIs computes the same shifts repeatedly
def hypergeometric(hits: int, sample: int, population: int, confidence: float = CONFIDENCE) -> Estimate | None:
    """Return the exact interval of the share in a finite population of which a random sample was examined.

    It is Clopper and Pearson's argument with the hypergeometric distribution: the interval has no width where all were
    examined. Returns None where none was.
    """
    if sample == 0:
        return None
    if not hits <= sample <= population:
        raise ValueError(f"{hits} of a sample of {sample} from {population} can't be.")
    tail = (1 - confidence) / 2
    lower, upper = hits, population - (sample - hits)
    low = _first(lower, upper, lambda total: 1 - _at_most(hits - 1, population, total, sample) > tail)
    high = _first(lower, upper, lambda total: _at_most(hits, population, total + 1, sample) <= tail)
    return Estimate(hits / sample, low / population, high / population)


def _at_most(hits: int, population: int, total: int, sample: int) -> float:
    """Return the hypergeometric P(at most `hits` of `total` are in the sample), summed over the tail of `hits`.

    Each tail's terms only fall, so few are needed. SciPy's own is exact, too, but takes ten times as long a call, and a
    page of KPIs needs thousands.
    """
    lower, upper = max(0, sample - (population - total)), min(total, sample)
    if total > population or hits < lower:
        return 0.0
    if hits >= upper:
        return 1.0
    others = population - total - sample
    if hits <= (sample + 1) * (total + 1) // (population + 2):  # the mode
        down = (k * (others + k) / ((total - k + 1) * (sample - k + 1)) for k in range(hits, lower, -1))
        return min(1.0, _tail(hits, population, total, sample, down))
    up = ((total - k) * (sample - k) / ((k + 1) * (others + k + 1)) for k in range(hits + 1, upper))
    return max(0.0, 1.0 - _tail(hits + 1, population, total, sample, up))


def _tail(first: int, population: int, total: int, sample: int, ratios: Iterable[float]) -> float:
    """Return P(exactly `first`) plus the further terms, each by its ratio to the one before."""
    log_probability = (
        _log_binomial(total, first)
        + _log_binomial(population - total, sample - first)
        - _log_binomial(population, sample)
    )
    term = found = math.exp(log_probability)
    for ratio in ratios:
        term *= ratio
        found += term
        if term < NEGLIGIBLE * found:
            break
    return found


def _log_binomial(population: int, chosen: int) -> float:
    """Return the logarithm of the binomial coefficient."""
    return math.lgamma(population + 1) - math.lgamma(chosen + 1) - math.lgamma(population - chosen + 1)


def _first(lower: int, upper: int, holds: Callable[[int], bool]) -> int:
    """Return the smallest number in [lower, upper] for which a monotone condition holds, or `upper`."""
    while lower < upper:
        middle = (lower + upper) // 2
        if holds(middle):
            upper = middle
        else:
            lower = middle + 1
    return lower
