"""The interval of a finite population against SciPy's hypergeometric distribution."""

import pytest
from scipy.stats import hypergeom  # type: ignore[import-untyped]

from alerts.statistics.confidence_intervals import hypergeometric

TAIL = 0.025


@pytest.mark.parametrize(
    ("hits", "sample", "population"), [(0, 50, 40_000), (3, 60, 1_000_000), (40, 60, 900), (1, 5, 5)]
)
def test_the_bounds_are_the_first_totals_consistent_with_the_sample(hits: int, sample: int, population: int) -> None:
    found = hypergeometric(hits, sample, population)
    assert found is not None
    low, high = round(found.low * population), round(found.high * population)
    if low > hits:
        assert hypergeom.sf(hits - 1, population, low, sample) > TAIL
        assert hypergeom.sf(hits - 1, population, low - 1, sample) <= TAIL
    if high < population - (sample - hits):
        assert hypergeom.cdf(hits, population, high, sample) > TAIL
        assert hypergeom.cdf(hits, population, high + 1, sample) <= TAIL
