"""What all charts share: the type of an ECharts option, rounded numbers, the ends of an axis, and times."""

import math
from datetime import datetime
from typing import Any

Option = dict[str, Any]
FULL_PRECISION = -1  # of a marked line; by default ECharts rounds its position to two decimals


def round_significant(value: float) -> float:
    """Return the value rounded to four significant digits."""
    return float(f"{value:.4g}")


def axis_range(low: float, high: float) -> Option:
    """Return the ends of an axis, rounded to a thousandth of its length so that their labels are short."""
    digits = 3 - math.floor(math.log10(high - low)) if high > low else 3
    return {"min": round(low, digits), "max": round(high, digits)}


def milliseconds(at: datetime) -> float:
    """Return a time as ECharts counts it: milliseconds since 1970."""
    return at.timestamp() * 1000
