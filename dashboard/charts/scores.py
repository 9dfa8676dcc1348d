"""Charts as pure functions of rows: each returns an ECharts option that `st.echarts_chart` draws."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from dashboard import formatting
from dashboard.charts import limits
from dashboard.charts.echarts import Option, axis_range, milliseconds, round_significant
from dashboard.theme import Palette
from storage.line.decision import decide
from storage.line.thresholds import Threshold
from storage.line.verdicts import Verdict
from storage.rollups.trends import TrendPoint

THRESHOLD, REVIEW_LIMIT = "threshold", "review limit"
Histogram = Sequence[tuple[float, float, int]]
"""Bins of (low, high, number of frames), in order."""


class _TrendRow(NamedTuple):
    """The values of the lines of a trend at one time; None draws a gap."""

    at: float
    mean: float | None = None
    high: float | None = None
    threshold: float | None = None
    review_limit: float | None = None


def sparkline(scores: Sequence[float], threshold: float | None, review_limit: float | None, palette: Palette) -> Option:
    """Return recent scores, oldest first, as a line without axes, with both limits; flagged scores are marked."""
    levels = [*scores, *_known(threshold, review_limit)]
    line = _line("scores", list(enumerate(scores)), palette.accent, width=2)
    if threshold is not None:
        line["markLine"] = limits.mark_lines(threshold, review_limit, palette, label=False)
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
                "itemStyle": {"color": palette.flag},
            },
        ],
    }


def trend(
    points: Sequence[TrendPoint],
    flagged: Sequence[Verdict],
    since: datetime,
    until: datetime,
    bucket: timedelta,
    palette: Palette,
    history: Sequence[Threshold] = (),
) -> Option:
    """Return the mean and the maximum score per bucket, the limits, and each flagged frame as a point.

    The first series holds the flagged frames in the order given, so that the index of a click identifies one.
    `history` are the station's thresholds, newest first; the review limits are read from it.
    """
    lines = _trend_lines(points, bucket, palette, history)
    return {
        "animation": False,
        "grid": {"left": 8, "right": 16, "top": 36, "bottom": 8, "containLabel": True},
        "legend": {
            "type": "scroll",  # one line on a narrow screen, where a second one would lie on the axis
            "top": 0,
            "left": 0,
            "itemGap": 18,
            "itemWidth": 16,
            "itemHeight": 9,
            "data": [
                {"name": "mean score"},
                {"name": "maximum"},
                {"name": THRESHOLD},
                *_review_limit_legend(lines),
                {"name": "flagged frame", "icon": "diamond"},
            ],
        },
        "xAxis": {
            "type": "time",
            "min": milliseconds(since),
            "max": milliseconds(until),
            "axisLine": {"lineStyle": {"color": palette.border}},
            "axisTick": {"show": False},
            "splitLine": {"show": False},
        },
        "yAxis": {
            "type": "value",
            "scale": True,
            "splitNumber": 4,
            "axisLabel": {"formatter": "{value}"},
            "splitLine": {"lineStyle": {"color": palette.border, "type": "dashed"}},
        },
        "tooltip": {"trigger": "axis", "valueFormatter": "%.3f", "axisPointer": {"type": "line"}},
        "series": [_flagged_points(flagged, palette), *lines],
    }


def histogram(bins: Histogram, threshold: float | None, review_limit: float | None, palette: Palette) -> Option:
    """Return the number of frames by score, with both limits as lines.

    Bins wholly above the threshold have another colour, and so have those between the review limit and the threshold.
    """
    top = max((frames for _, _, frames in bins), default=0)
    option: Option = {
        "animation": False,
        "grid": {"left": 8, "right": 52, "top": 42, "bottom": 8, "containLabel": True},  # half of a limit's label
        "xAxis": {
            "type": "value",
            "scale": True,
            "splitNumber": 4,
            "splitLine": {"show": False},
            "axisLine": {"lineStyle": {"color": palette.border}},
            "axisLabel": {"showMinLabel": False, "showMaxLabel": False},
            **_score_axis(bins, _known(threshold, review_limit)),
        },
        "yAxis": {
            "type": "value",
            "max": max(1, top),
            "splitNumber": 3,
            "minInterval": 1,
            "splitLine": {"lineStyle": {"color": palette.border, "type": "dashed"}},
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
                        "itemStyle": {
                            "color": limits.bar_colour(low, high, threshold, review_limit, palette),
                            "borderRadius": [2, 2, 0, 0],
                        },
                    }
                    for low, high, frames in bins
                ],
            }
        ],
    }
    if threshold is not None:
        option["series"][0]["markLine"] = limits.mark_lines(threshold, review_limit, palette, label=True, axis="xAxis")
    return option


def with_frame_marked(option: Option, frame: Verdict, palette: Palette) -> Option:
    """Return a trend with a ring around one frame and a shorter legend."""
    ring = {
        "name": "this frame",
        "type": "scatter",
        "data": [] if frame.score is None else [[milliseconds(frame.captured_at), frame.score]],
        "symbol": "circle",
        "symbolSize": 20,
        "z": 6,
        "silent": True,
        "itemStyle": {"color": "transparent", "borderColor": palette.text, "borderWidth": 2.5},
    }
    names = [{"name": "mean score"}, {"name": THRESHOLD}, *_review_limit_legend(option["series"])]
    legend = {**option["legend"], "itemGap": 10, "data": names}
    return {**option, "series": [*option["series"], ring], "legend": legend}


def components(parts: Mapping[str, float], palette: Palette) -> Option:
    """Return the components of a score, one bar per component, in alphabetical order from the top."""
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
                "data": [round_significant(parts[name]) for name in names],
                "itemStyle": {"color": palette.accent, "borderRadius": 2},
                "label": {"show": True, "position": "right", "formatter": "{c}", "color": palette.text},
            }
        ],
    }


def _flagged_points(flagged: Sequence[Verdict], palette: Palette) -> Option:
    return {
        "name": "flagged frame",
        "type": "scatter",
        "data": [[milliseconds(verdict.captured_at), verdict.score] for verdict in flagged],
        "symbol": "diamond",
        "symbolSize": 11,
        "z": 5,
        "selectedMode": "single",
        "itemStyle": {"color": palette.flag, "borderColor": palette.surface, "borderWidth": 1},
        "select": {"itemStyle": {"borderColor": palette.text, "borderWidth": 2}},
    }


def _trend_lines(
    points: Sequence[TrendPoint], bucket: timedelta, palette: Palette, history: Sequence[Threshold]
) -> list[Option]:
    rows = _with_gaps([point for point in points if point.score_mean is not None], bucket, history)
    lines = [
        _line("maximum", [[row.at, row.high] for row in rows], palette.secondary_text, width=1, opacity=0.7),
        _line("mean score", [[row.at, row.mean] for row in rows], palette.accent, width=2.5),
        _limit_line(THRESHOLD, [[row.at, row.threshold] for row in rows], palette.flag),
    ]
    if any(row.review_limit is not None for row in rows):
        review_limits = [[row.at, row.review_limit] for row in rows]
        lines.append(_limit_line(REVIEW_LIMIT, review_limits, palette.borderline_mark))
    return lines


def _limit_line(name: str, data: Sequence[Sequence[float | None]], colour: str) -> Option:
    style = {"color": colour, "width": 1.5, "type": "dashed"}
    return _line(name, data, colour, width=1.5) | {"step": "end", "lineStyle": style}


def _review_limit_legend(series: Sequence[Option]) -> list[Option]:
    return [{"name": REVIEW_LIMIT} for one in series if one["name"] == REVIEW_LIMIT]


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


def _known(*values: float | None) -> list[float]:
    return [value for value in values if value is not None]


def _score_axis(bins: Histogram, marked: Sequence[float]) -> Option:
    if not bins:
        return {}
    edges = [bins[0][0], bins[-1][1], *marked]
    margin = 0.02 * (max(edges) - min(edges))
    return axis_range(min(edges) - margin, max(edges) + margin)


def _with_gaps(points: Sequence[TrendPoint], bucket: timedelta, history: Sequence[Threshold]) -> list[_TrendRow]:
    """Return the rows of a trend, with an empty one where nothing was scored for over two buckets."""
    limit_at = limits.review_limits_of(history)
    rows: list[_TrendRow] = []
    for point, following in pairwise([*points, None]):
        if point is None:
            continue
        at, end = milliseconds(point.started_at), point.started_at + bucket
        rows.append(_TrendRow(at, point.score_mean, point.score_max, point.threshold, limit_at(point.threshold, end)))
        if following is not None and following.started_at - point.started_at > 2 * bucket:
            rows.append(_TrendRow(milliseconds(end)))
    return rows
