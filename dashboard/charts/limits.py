"""The threshold and the review limit of a station, as lines and colours of charts."""

from collections.abc import Callable, Sequence
from datetime import datetime

from dashboard import formatting
from dashboard.charts.echarts import FULL_PRECISION, Option
from dashboard.theme import Palette
from storage.line.decision import decide_bin
from storage.line.thresholds import Threshold

SECOND_ROW = 20  # pixels above the chart: the labels of limits that are near each other lie in two rows


def mark_lines(
    threshold: float, review_limit: float | None, palette: Palette, *, label: bool, axis: str = "yAxis"
) -> Option:
    """Return the lines that mark both limits; a review limit that equals the threshold is left out."""
    return {
        "silent": True,
        "symbol": "none",
        "precision": FULL_PRECISION,
        "lineStyle": _line_style(palette.flag),
        "label": {"show": label, "formatter": f"threshold {formatting.score(threshold)}", "color": palette.flag},
        "data": [
            {axis: threshold},
            *([] if review_limit is None else _review_line(threshold, review_limit, palette, label=label, axis=axis)),
        ],
    }


def bar_colour(low: float, high: float, threshold: float | None, review_limit: float | None, palette: Palette) -> str:
    """Return the colour of a bin of scores: that of flagged frames, of borderline ones, or of those that pass.

    A bin that the threshold divides is borderline when it begins at the review limit or above.
    """
    if threshold is None:
        return palette.accent
    if decide_bin(low, high, threshold) == "flag":
        return palette.flag
    return palette.borderline_mark if review_limit is not None and low >= review_limit else palette.accent


def review_limits_of(history: Sequence[Threshold]) -> Callable[[float | None, datetime], float | None]:
    """Return a function from a threshold that was in force before a time to the review limit beside it.

    Args:
        history: The station's thresholds, newest first.
    """
    by_value: dict[float, list[Threshold]] = {}
    for one in history:
        by_value.setdefault(one.value, []).append(one)

    def limit_at(threshold: float | None, before: datetime) -> float | None:
        candidates = [] if threshold is None else by_value.get(threshold, [])
        return next((one.review_limit for one in candidates if one.made_at < before), None)

    return limit_at


def _review_line(threshold: float, review_limit: float, palette: Palette, *, label: bool, axis: str) -> list[Option]:
    if review_limit == threshold:
        return []
    return [
        {
            axis: review_limit,
            "lineStyle": _line_style(palette.borderline_mark),
            "label": {
                "show": label,
                "formatter": f"review limit {formatting.score(review_limit)}",
                "color": palette.borderline,
                "distance": SECOND_ROW,
            },
        }
    ]


def _line_style(colour: str) -> Option:
    return {"color": colour, "type": "dashed", "width": 1.5}
