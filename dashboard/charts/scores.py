"""Charts as pure functions of rows: each returns an ECharts option that `st.echarts_chart` draws."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from dashboard import formatting
from dashboard.theme import Palette
from storage.line.decision import decide
from storage.line.verdicts import TrendPoint, Verdict

Option = dict[str, Any]
EXACT = -1  # a marked line stands where it is said; else ECharts rounds its place to two decimals
Histogram = Sequence[tuple[float, float, int]]


def sparkline(scores: Sequence[float], threshold: float | None, colours: Palette) -> Option:
    """Recent scores, oldest first, without axes; those above the threshold are marked."""
    levels = [*scores] if threshold is None else [*scores, threshold]
    line = _line("scores", list(enumerate(scores)), colours.accent, width=2)
    if threshold is not None:
        line["markLine"] = _level(threshold, colours, label=False)
    flagged = [
        (index, score)
        for index, score in enumerate(scores)
        if threshold is not None and decide(score, threshold) == "flag"
    ]
    return {
        "animation": False,
        "grid": {"left": 4, "right": 6, "top": 6, "bottom": 6},
        "xAxis": {"type": "value", "show": False, "min": 0, "max": max(1, len(scores) - 1)},
        "yAxis": {"type": "value", "show": False, "min": min(levels, default=0.0), "max": max(levels, default=1.0)},
        "tooltip": {"show": False},
        "legend": {"show": False},
        "series": [
            line | {"silent": True},
            {
                "name": "flagged",
                "type": "scatter",
                "data": flagged,
                "symbol": "diamond",
                "symbolSize": 9,
                "silent": True,
                "itemStyle": {"color": colours.flag},
            },
        ],
    }


def trend(
    points: Sequence[TrendPoint],
    flagged: Sequence[Verdict],
    since: datetime,
    until: datetime,
    bucket: timedelta,
    colours: Palette,
) -> Option:
    """Mean score a bucket with the highest above it, the threshold in force, and each flagged frame as a point.

    The first series holds the flagged frames in the order given, so that a click's index names one of them.
    """
    rows = _with_gaps([point for point in points if point.score_mean is not None], bucket)
    return {
        "animation": False,
        "grid": {"left": 8, "right": 16, "top": 36, "bottom": 8, "containLabel": True},
        "legend": {
            "top": 0,
            "left": 0,
            "itemGap": 18,
            "itemWidth": 16,
            "itemHeight": 9,
            "data": [
                {"name": "mean score"},
                {"name": "highest"},
                {"name": "threshold"},
                {"name": "flagged frame", "icon": "diamond"},
            ],
        },
        "xAxis": {
            "type": "time",
            "min": _milliseconds(since),
            "max": _milliseconds(until),
            "axisLine": {"lineStyle": {"color": colours.border}},
            "axisTick": {"show": False},
            "splitLine": {"show": False},
        },
        "yAxis": {
            "type": "value",
            "scale": True,
            "splitNumber": 4,
            "axisLabel": {"formatter": "{value}"},
            "splitLine": {"lineStyle": {"color": colours.border, "type": "dashed"}},
        },
        "tooltip": {"trigger": "axis", "valueFormatter": "%.3f", "axisPointer": {"type": "line"}},
        "series": [
            {
                "name": "flagged frame",
                "type": "scatter",
                "data": [[_milliseconds(verdict.captured_at), verdict.score] for verdict in flagged],
                "symbol": "diamond",
                "symbolSize": 11,
                "z": 5,
                "selectedMode": "single",
                "itemStyle": {"color": colours.flag, "borderColor": colours.surface, "borderWidth": 1},
                "select": {"itemStyle": {"borderColor": colours.ink, "borderWidth": 2}},
            },
            _line("highest", [[at, high] for at, _, high, _ in rows], colours.quiet, width=1, opacity=0.7),
            _line("mean score", [[at, mean] for at, mean, _, _ in rows], colours.accent, width=2.5),
            {
                **_line("threshold", [[at, level] for at, _, _, level in rows], colours.flag, width=1.5),
                "step": "end",
                "lineStyle": {"color": colours.flag, "width": 1.5, "type": "dashed"},
            },
        ],
    }


def histogram(bins: Histogram, threshold: float | None, colours: Palette) -> Option:
    """Frames by score; bars that lie wholly above the threshold are in the flagged colour, the threshold is a line."""
    top = max((frames for _, _, frames in bins), default=0)
    option: Option = {
        "animation": False,
        "grid": {"left": 8, "right": 16, "top": 36, "bottom": 8, "containLabel": True},
        "xAxis": {
            "type": "value",
            "scale": True,
            "splitNumber": 4,
            "splitLine": {"show": False},
            "axisLine": {"lineStyle": {"color": colours.border}},
            "axisLabel": {"showMinLabel": False, "showMaxLabel": False},
            **_extent(bins, threshold),
        },
        "yAxis": {
            "type": "value",
            "max": max(1, top),
            "splitNumber": 3,
            "minInterval": 1,
            "splitLine": {"lineStyle": {"color": colours.border, "type": "dashed"}},
        },
        "tooltip": {"trigger": "item", "formatter": "{b}: {@[1]} frames"},
        "series": [
            {
                "type": "bar",
                "barWidth": "92%",
                "data": [
                    {
                        "name": f"{formatting.score(low)} to {formatting.score(high)}",
                        "value": [(low + high) / 2, frames],
                        "itemStyle": {"color": _bar_colour(low, threshold, colours), "borderRadius": [2, 2, 0, 0]},
                    }
                    for low, high, frames in bins
                ],
            }
        ],
    }
    if threshold is not None:
        option["series"][0]["markLine"] = _level(threshold, colours, label=True, axis="xAxis")
    return option


def components(parts: Mapping[str, float], colours: Palette) -> Option:
    """What a score was made of, one bar a component, in the order of the alphabet from top to bottom."""
    names = sorted(parts, reverse=True)
    return {
        "animation": False,
        "grid": {"left": 4, "right": 44, "top": 4, "bottom": 4, "containLabel": True},
        "xAxis": {"type": "value", "show": False},
        "yAxis": {"type": "category", "data": names, "axisTick": {"show": False}, "axisLine": {"show": False}},
        "tooltip": {"show": False},
        "series": [
            {
                "type": "bar",
                "barWidth": 10,
                "silent": True,
                "data": [short(parts[name]) for name in names],
                "itemStyle": {"color": colours.accent, "borderRadius": 2},
                "label": {"show": True, "position": "right", "formatter": "{c}", "color": colours.ink},
            }
        ],
    }


def short(value: float) -> float:
    """To four digits that count, however small it is."""
    return float(f"{value:.4g}")


def reach(low: float, high: float) -> Option:
    """An axis from `low` to `high`, both to a thousandth of the way between them, so that its labels are short."""
    digits = 3 - math.floor(math.log10(high - low)) if high > low else 3
    return {"min": round(low, digits), "max": round(high, digits)}


def _line(name: str, data: Sequence[Sequence[float | None]], colour: str, width: float, opacity: float = 1) -> Option:
    return {
        "name": name,
        "type": "line",
        "data": data,
        "showSymbol": False,
        "lineStyle": {"color": colour, "width": width, "opacity": opacity},
        "itemStyle": {"color": colour},
        "connectNulls": False,
    }


def _level(threshold: float, colours: Palette, *, label: bool, axis: str = "yAxis") -> Option:
    return {
        "silent": True,
        "symbol": "none",
        "precision": EXACT,
        "lineStyle": {"color": colours.flag, "type": "dashed", "width": 1.5},
        "label": {"show": label, "formatter": f"threshold {formatting.score(threshold)}", "color": colours.flag},
        "data": [{axis: threshold}],
    }


def _bar_colour(low: float, threshold: float | None, colours: Palette) -> str:
    return colours.flag if threshold is not None and low >= threshold else colours.accent


def _extent(bins: Histogram, threshold: float | None) -> Option:
    if not bins:
        return {}
    edges = [bins[0][0], bins[-1][1], *([] if threshold is None else [threshold])]
    margin = 0.02 * (max(edges) - min(edges))
    return reach(min(edges) - margin, max(edges) + margin)


def _with_gaps(
    points: Sequence[TrendPoint], bucket: timedelta
) -> list[tuple[float, float | None, float | None, float | None]]:
    """Rows (time, mean, highest, threshold), with an empty one where nothing was scored for over two buckets."""
    rows: list[tuple[float, float | None, float | None, float | None]] = []
    for point, following in pairwise([*points, None]):
        if point is None:
            continue
        rows.append((_milliseconds(point.started_at), point.score_mean, point.score_max, point.threshold))
        if following is not None and following.started_at - point.started_at > 2 * bucket:
            rows.append((_milliseconds(point.started_at + bucket), None, None, None))
    return rows


def _milliseconds(at: datetime) -> float:
    return at.timestamp() * 1000
