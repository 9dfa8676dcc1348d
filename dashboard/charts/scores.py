"""Charts as pure functions of rows: each returns an ECharts option that `st.echarts_chart` draws."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from dashboard import formatting
from dashboard.charts.echarts import FULL_PRECISION, Option, axis_range, milliseconds, round_significant
from dashboard.theme import Palette
from storage.line.decision import decide, decide_bin
from storage.line.verdicts import Verdict
from storage.rollups.trends import TrendPoint

Histogram = Sequence[tuple[float, float, int]]
"""Bins of (low, high, number of frames), in order."""


def sparkline(scores: Sequence[float], threshold: float | None, palette: Palette) -> Option:
    """Return recent scores, oldest first, as a line without axes; flagged ones are marked."""
    levels = [*scores] if threshold is None else [*scores, threshold]
    line = _line("scores", list(enumerate(scores)), palette.accent, width=2)
    if threshold is not None:
        line["markLine"] = _level(threshold, palette, label=False)
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
) -> Option:
    """Return the mean and the maximum score per bucket, the threshold, and each flagged frame as a point.

    The first series holds the flagged frames in the order given, so that the index of a click identifies one.
    """
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
                {"name": "threshold"},
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
        "series": [_flagged_points(flagged, palette), *_trend_lines(points, bucket, palette)],
    }


def histogram(bins: Histogram, threshold: float | None, palette: Palette) -> Option:
    """Return the number of frames by score, with the threshold as a line; bins wholly above it have another colour."""
    top = max((frames for _, _, frames in bins), default=0)
    option: Option = {
        "animation": False,
        "grid": {"left": 8, "right": 52, "top": 36, "bottom": 8, "containLabel": True},  # half of the threshold's label
        "xAxis": {
            "type": "value",
            "scale": True,
            "splitNumber": 4,
            "splitLine": {"show": False},
            "axisLine": {"lineStyle": {"color": palette.border}},
            "axisLabel": {"showMinLabel": False, "showMaxLabel": False},
            **_score_axis(bins, threshold),
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
                            "color": _bar_colour(low, high, threshold, palette),
                            "borderRadius": [2, 2, 0, 0],
                        },
                    }
                    for low, high, frames in bins
                ],
            }
        ],
    }
    if threshold is not None:
        option["series"][0]["markLine"] = _level(threshold, palette, label=True, axis="xAxis")
    return option


def arrivals(
    frames: Mapping[datetime, int], since: datetime, until: datetime, bucket: timedelta, palette: Palette
) -> Option:
    """Return the number of frames captured per bucket; a bucket without any is a visible gap."""
    return {
        "animation": False,
        "grid": {"left": 8, "right": 16, "top": 12, "bottom": 8, "containLabel": True},
        "tooltip": {"trigger": "axis"},
        "xAxis": {
            "type": "time",
            "min": milliseconds(since),
            "max": milliseconds(until),
            "splitLine": {"show": False},
        },
        "yAxis": {
            "type": "value",
            "minInterval": 1,
            "splitNumber": 3,
            "splitLine": {"lineStyle": {"color": palette.border, "type": "dashed"}},
        },
        "series": [
            {
                "name": f"frames in {formatting.duration(bucket.total_seconds())}",
                "type": "bar",
                "barMaxWidth": 8,
                "barMinWidth": 2,
                "data": [[milliseconds(at), number] for at, number in sorted(frames.items())],
                "itemStyle": {"color": palette.accent},
            }
        ],
    }


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
    legend = {**option["legend"], "itemGap": 10, "data": [{"name": "mean score"}, {"name": "threshold"}]}
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


def _trend_lines(points: Sequence[TrendPoint], bucket: timedelta, palette: Palette) -> list[Option]:
    rows = _with_gaps([point for point in points if point.score_mean is not None], bucket)
    threshold = _line("threshold", [[at, level] for at, _, _, level in rows], palette.flag, width=1.5)
    return [
        _line("maximum", [[at, high] for at, _, high, _ in rows], palette.secondary_text, width=1, opacity=0.7),
        _line("mean score", [[at, mean] for at, mean, _, _ in rows], palette.accent, width=2.5),
        threshold | {"step": "end", "lineStyle": {"color": palette.flag, "width": 1.5, "type": "dashed"}},
    ]


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


def _level(threshold: float, palette: Palette, *, label: bool, axis: str = "yAxis") -> Option:
    return {
        "silent": True,
        "symbol": "none",
        "precision": FULL_PRECISION,
        "lineStyle": {"color": palette.flag, "type": "dashed", "width": 1.5},
        "label": {"show": label, "formatter": f"threshold {formatting.score(threshold)}", "color": palette.flag},
        "data": [{axis: threshold}],
    }


def _bar_colour(low: float, high: float, threshold: float | None, palette: Palette) -> str:
    return palette.flag if threshold is not None and decide_bin(low, high, threshold) == "flag" else palette.accent


def _score_axis(bins: Histogram, threshold: float | None) -> Option:
    if not bins:
        return {}
    edges = [bins[0][0], bins[-1][1], *([] if threshold is None else [threshold])]
    margin = 0.02 * (max(edges) - min(edges))
    return axis_range(min(edges) - margin, max(edges) + margin)


def _with_gaps(
    points: Sequence[TrendPoint], bucket: timedelta
) -> list[tuple[float, float | None, float | None, float | None]]:
    """Return rows (time, mean, maximum, threshold), with an empty one where nothing was scored for over two buckets."""
    rows: list[tuple[float, float | None, float | None, float | None]] = []
    for point, following in pairwise([*points, None]):
        if point is None:
            continue
        rows.append((milliseconds(point.started_at), point.score_mean, point.score_max, point.threshold))
        if following is not None and following.started_at - point.started_at > 2 * bucket:
            rows.append((milliseconds(point.started_at + bucket), None, None, None))
    return rows
