"""Control charts, KPI bars and Pareto charts as ECharts options: pure functions of numbers.

Points that are out of control differ by shape as well as by colour, and each rule has its own shape.
"""

import math
from collections.abc import Mapping, Sequence

from alerts.kpis.kpis import ParetoBar
from alerts.statistics.confidence_intervals import Estimate
from alerts.statistics.control_charts import ControlChart, CusumChart, InControlProcess, Signal
from dashboard.charts.scores import FULL_PRECISION, Option, axis_range, round_significant
from dashboard.theme import Palette

RULES: Mapping[Signal, tuple[str, str]] = {
    "WE1": ("diamond", "one beyond 3 σ"),
    "WE2": ("triangle", "two of three beyond 2 σ"),
    "WE3": ("rect", "four of five beyond 1 σ"),
    "WE4": ("circle", "eight in a row on one side"),
    "EWMA": ("diamond", "average beyond its limits"),
    "CUSUM": ("diamond", "sum beyond its limit"),
}


def individuals(chart: ControlChart, process: InControlProcess, times: Sequence[str], palette: Palette) -> Option:
    """Return an individuals chart: scores, centre line, limits at 3 sigma, faint lines at 1 and 2 sigma.

    The chart was computed on logarithms of scores; it is drawn on scores.
    """
    option = _scores(chart, times, palette, "score")
    for sigmas in (-2, -1, 1, 2):
        level = math.exp(process.centre + sigmas * process.sigma)
        option["series"][0]["markLine"]["data"].append(
            {
                "yAxis": level,
                "lineStyle": {"color": palette.quiet, "type": "dotted", "width": 1, "opacity": 0.6},
                "label": {"show": False},
            }
        )
    return option


def ewma(chart: ControlChart, times: Sequence[str], palette: Palette) -> Option:
    """Return an EWMA chart: the weighted average of the scores and its limits, which widen over the first points."""
    return _scores(chart, times, palette, "average")


def cusum(sums: CusumChart, times: Sequence[str], palette: Palette) -> Option:
    """Return a CUSUM chart: both sums in sigmas, the one for falling scores drawn downwards."""
    high, low = sums.high.tolist(), (-sums.low).tolist()
    points = [up if up >= -down else down for up, down in zip(high, low, strict=True)]
    extent = 1.1 * max(sums.limit, *high, *(-value for value in low))
    option = _frame(times, palette, "σ", (-extent, extent))
    option["series"] = [
        _line("rising", high, palette.accent) | {"markLine": _levels([(sums.limit, "limit")], palette)},
        _line("falling", low, palette.idle)
        | {
            "markLine": _levels([(-sums.limit, "limit")], palette),
            "lineStyle": {"color": palette.idle, "type": [6, 3]},
        },
        *_out_of_control(points, sums.signals, palette),
    ]
    option["legend"]["data"] = [series["name"] for series in option["series"]]
    return option


def with_alert_at(option: Option, index: int, palette: Palette) -> Option:
    """Return a control chart with a vertical line where an alert opened; `index` is that of the frame."""
    first, *others = option["series"]
    line = {
        "xAxis": index,
        "lineStyle": {"color": palette.ink, "type": "solid", "width": 1.5},
        "label": {"show": True, "formatter": "alert", "color": palette.ink},
    }
    marks = first["markLine"] | {"data": [*first["markLine"]["data"], line]}
    return option | {"series": [first | {"markLine": marks}, *others]}


def bars(values: Mapping[str, float], unit: str, limit: float | None, palette: Palette) -> Option:
    """Return one bar per name, the first on top; bars above the limit have another colour."""
    names = list(values)[::-1]
    option: Option = {
        "animation": False,
        "grid": {"left": 8, "right": 70, "top": 8, "bottom": 8, "containLabel": True},
        "xAxis": {"type": "value", "show": False, "min": 0},
        "yAxis": {"type": "category", "data": names, "axisTick": {"show": False}, "axisLine": {"show": False}},
        "tooltip": {"show": False},
        "series": [
            {
                "type": "bar",
                "barMaxWidth": 26,
                "data": [
                    {
                        "value": values[name],
                        "itemStyle": {"color": palette.flag if _is_over(values[name], limit) else palette.accent},
                    }
                    for name in names
                ],
                "label": {
                    "show": True,
                    "position": "right",
                    "formatter": "{c}" + (f" {unit}" if unit else ""),
                    "color": palette.ink,
                },
            }
        ],
    }
    if limit is not None:
        option["series"][0]["markLine"] = {
            "silent": True,
            "symbol": "none",
            "precision": FULL_PRECISION,
            "lineStyle": {"color": palette.flag, "type": "dashed"},
            "label": {"show": True, "formatter": "limit", "color": palette.flag},
            "data": [{"xAxis": limit}],
        }
        option["grid"]["top"] = 26
    return option


def pareto(bars: Sequence[ParetoBar], palette: Palette) -> Option:
    """Return the defect types with their counts, most frequent first, and the cumulative share."""
    return {
        "animation": False,
        "grid": {"left": 8, "right": 8, "top": 34, "bottom": 8, "containLabel": True},
        "legend": {"top": 0, "textStyle": {"color": palette.ink}},
        "tooltip": {"trigger": "axis"},
        "xAxis": {
            "type": "category",
            "data": [f"{bar.defect or 'no type'}\n{bar.count}" for bar in bars],
            "axisLabel": {"interval": 0, "width": 110, "overflow": "break", "color": palette.quiet},
        },
        "yAxis": [
            {
                "type": "value",
                "minInterval": 1,
                "splitLine": {"lineStyle": {"color": palette.border, "type": "dashed"}},
            },
            {
                "type": "value",
                "min": 0,
                "max": 100,
                "axisLabel": {"formatter": "{value} %"},
                "splitLine": {"show": False},
            },
        ],
        "series": [
            {
                "name": "defects",
                "type": "bar",
                "barMaxWidth": 60,
                "data": [bar.count for bar in bars],
                "itemStyle": {"color": palette.accent},
            },
            {
                "name": "cumulative",
                "type": "line",
                "yAxisIndex": 1,
                "symbol": "diamond",
                "symbolSize": 9,
                "data": [round(100 * bar.cumulative, 1) for bar in bars],
                "lineStyle": {"color": palette.flag},
                "itemStyle": {"color": palette.flag},
            },
        ],
    }


def rates(names: Sequence[str], estimates: Sequence[Estimate | None], palette: Palette) -> Option:
    """Return a rate per group in percent, each a point with its interval; a group without an estimate stays empty."""
    return {
        "animation": False,
        "grid": {"left": 8, "right": 16, "top": 12, "bottom": 8, "containLabel": True},
        "tooltip": {"trigger": "item"},
        "xAxis": {"type": "category", "data": list(names), "axisLabel": {"color": palette.quiet, "hideOverlap": True}},
        "yAxis": {
            "type": "value",
            "min": 0,
            "axisLabel": {"formatter": "{value} %"},
            "splitLine": {"lineStyle": {"color": palette.border, "type": "dashed"}},
        },
        "series": [
            {
                "type": "candlestick",
                "silent": True,
                "barWidth": 1,
                "data": [
                    []
                    if estimate is None
                    else [100 * value for value in (estimate.value, estimate.value, estimate.low, estimate.high)]
                    for estimate in estimates
                ],
                "itemStyle": {"color": palette.quiet, "borderColor": palette.quiet, "borderColor0": palette.quiet},
            },
            {
                "type": "scatter",
                "symbol": "circle",
                "symbolSize": 10,
                "itemStyle": {"color": palette.accent},
                "data": [
                    {
                        "name": f"{name}: {estimate.value:.2%} ({estimate.low:.2%} to {estimate.high:.2%})",
                        "value": [index, round(100 * estimate.value, 3)],
                    }
                    for index, (name, estimate) in enumerate(zip(names, estimates, strict=True))
                    if estimate is not None
                ],
                "tooltip": {"formatter": "{b}"},
            },
        ],
    }


def _scores(chart: ControlChart, times: Sequence[str], palette: Palette, name: str) -> Option:
    points = [math.exp(value) for value in chart.points.tolist()]
    upper, lower = ([math.exp(value) for value in limits.tolist()] for limits in (chart.upper, chart.lower))
    low, high = min([*points, *lower]), max([*points, *upper])
    margin = 0.05 * (high - low)
    option = _frame(times, palette, "", (max(0.0, low - margin), high + margin))
    centre = _levels([(math.exp(chart.centre), "centre")], palette)
    centre["data"][0]["lineStyle"] = {"color": palette.good, "type": "solid", "width": 1.5}
    centre["data"][0]["label"]["color"] = palette.good
    option["series"] = [
        _line(name, points, palette.accent) | {"markLine": centre},
        _line("limits", upper, palette.flag) | {"lineStyle": {"color": palette.flag, "type": "dashed", "width": 1.5}},
        _line("limits", lower, palette.flag) | {"lineStyle": {"color": palette.flag, "type": "dashed", "width": 1.5}},
        *_out_of_control(points, chart.signals, palette),
    ]
    option["legend"]["data"] = list(dict.fromkeys(series["name"] for series in option["series"]))
    return option


def _frame(times: Sequence[str], palette: Palette, unit: str, ends: tuple[float, float]) -> Option:
    return {
        "animation": False,
        "grid": {"left": 8, "right": 58, "top": 40, "bottom": 8, "containLabel": True},
        "legend": {"top": 0, "type": "scroll", "textStyle": {"color": palette.ink}},
        "tooltip": {"trigger": "axis"},
        "xAxis": {
            "type": "category",
            "data": list(times),
            "boundaryGap": False,
            "axisLabel": {"color": palette.quiet, "hideOverlap": True},
            "axisLine": {"onZero": False, "lineStyle": {"color": palette.border}},
        },
        "yAxis": {
            "type": "value",
            **axis_range(*ends),
            "axisLabel": {
                "formatter": "{value}" + (f" {unit}" if unit else ""),
                "showMinLabel": False,
                "showMaxLabel": False,
            },
            "splitLine": {"show": False},
        },
        "series": [],
    }


def _out_of_control(points: Sequence[float], signals: Sequence[Sequence[Signal]], palette: Palette) -> list[Option]:
    """Return one series per rule; a point that breaks several is drawn for the first of them."""
    series: list[Option] = []
    for rule, (symbol, description) in RULES.items():
        indices = [index for index, broken in enumerate(signals) if broken and broken[0] == rule]
        if indices:
            series.append(
                {
                    "name": f"{rule}: {description}",
                    "type": "scatter",
                    "symbol": symbol,
                    "symbolSize": 9,
                    "z": 5,
                    "data": [[index, round_significant(points[index])] for index in indices],
                    "itemStyle": {"color": palette.flag, "borderColor": palette.surface, "borderWidth": 1},
                }
            )
    return series


def _line(name: str, values: Sequence[float], colour: str) -> Option:
    return {
        "name": name,
        "type": "line",
        "data": [round_significant(value) for value in values],
        "showSymbol": False,
        "lineStyle": {"color": colour, "width": 1.5},
        "itemStyle": {"color": colour},
    }


def _levels(levels: Sequence[tuple[float, str]], palette: Palette) -> Option:
    return {
        "silent": True,
        "symbol": "none",
        "precision": FULL_PRECISION,
        "data": [
            {
                "yAxis": level,
                "lineStyle": {"color": palette.flag, "type": "dashed", "width": 1.5},
                "label": {"show": True, "formatter": name, "position": "end", "color": palette.flag},
            }
            for level, name in levels
        ],
    }


def _is_over(value: float, limit: float | None) -> bool:
    return limit is not None and value > limit
