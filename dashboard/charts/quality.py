"""Control charts, KPI bars and Paretos as ECharts options: pure functions of numbers.

Points out of control differ by shape as well as by colour, and each rule has a shape of its own.
"""

import math
from collections.abc import Mapping, Sequence

from alerts.kpis.kpis import ParetoBar
from alerts.statistics.confidence_intervals import Estimate
from alerts.statistics.control_charts import ControlChart, CusumChart, InControlProcess, Signal
from dashboard.charts.scores import EXACT, Option, reach, short
from dashboard.theme import Palette

RULES: Mapping[Signal, tuple[str, str]] = {
    "WE1": ("diamond", "one beyond 3 σ"),
    "WE2": ("triangle", "two of three beyond 2 σ"),
    "WE3": ("rect", "four of five beyond 1 σ"),
    "WE4": ("circle", "eight in a row on one side"),
    "EWMA": ("diamond", "average beyond its limits"),
    "CUSUM": ("diamond", "sum beyond its limit"),
}


def individuals(chart: ControlChart, process: InControlProcess, times: Sequence[str], colours: Palette) -> Option:
    """Single scores with centre, limits at 3 sigma, and faint lines at 1 and 2; drawn as scores, not logarithms."""
    option = _scores(chart, times, colours, "score")
    for sigmas in (-2, -1, 1, 2):
        level = math.exp(process.centre + sigmas * process.sigma)
        option["series"][0]["markLine"]["data"].append(
            {
                "yAxis": level,
                "lineStyle": {"color": colours.quiet, "type": "dotted", "width": 1, "opacity": 0.6},
                "label": {"show": False},
            }
        )
    return option


def ewma(chart: ControlChart, times: Sequence[str], colours: Palette) -> Option:
    """The weighted average of the scores with its limits, which widen over the first points."""
    return _scores(chart, times, colours, "average")


def cusum(sums: CusumChart, times: Sequence[str], colours: Palette) -> Option:
    """Both sums in sigmas, the one for falling scores drawn downwards."""
    high, low = sums.high.tolist(), (-sums.low).tolist()
    points = [up if up >= -down else down for up, down in zip(high, low, strict=True)]
    most = 1.1 * max(sums.limit, *high, *(-one for one in low))
    option = _frame(times, colours, "σ", (-most, most))
    option["series"] = [
        _line("rising", high, colours.accent) | {"markLine": _levels([(sums.limit, "limit")], colours)},
        _line("falling", low, colours.idle)
        | {
            "markLine": _levels([(-sums.limit, "limit")], colours),
            "lineStyle": {"color": colours.idle, "type": [6, 3]},
        },
        *_broken(points, sums.signals, colours),
    ]
    option["legend"]["data"] = [one["name"] for one in option["series"]]
    return option


def opened_at(option: Option, place: int, colours: Palette) -> Option:
    """The chart with an upright line where an alert opened; `place` is the index of that frame."""
    first, *others = option["series"]
    line = {
        "xAxis": place,
        "lineStyle": {"color": colours.ink, "type": "solid", "width": 1.5},
        "label": {"show": True, "formatter": "alert", "color": colours.ink},
    }
    marks = first["markLine"] | {"data": [*first["markLine"]["data"], line]}
    return option | {"series": [first | {"markLine": marks}, *others]}


def bars(values: Mapping[str, float], unit: str, limit: float | None, colours: Palette) -> Option:
    """One bar a name, first on top; those above the limit are orange."""
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
                        "itemStyle": {"color": colours.flag if _is_over(values[name], limit) else colours.accent},
                    }
                    for name in names
                ],
                "label": {
                    "show": True,
                    "position": "right",
                    "formatter": "{c}" + (f" {unit}" if unit else ""),
                    "color": colours.ink,
                },
            }
        ],
    }
    if limit is not None:
        option["series"][0]["markLine"] = {
            "silent": True,
            "symbol": "none",
            "precision": EXACT,
            "lineStyle": {"color": colours.flag, "type": "dashed"},
            "label": {"show": True, "formatter": "limit", "color": colours.flag},
            "data": [{"xAxis": limit}],
        }
        option["grid"]["top"] = 26
    return option


def pareto(found: Sequence[ParetoBar], colours: Palette) -> Option:
    """Defect types with their counts, most frequent first, and the share that they and all before them make up."""
    return {
        "animation": False,
        "grid": {"left": 8, "right": 8, "top": 34, "bottom": 8, "containLabel": True},
        "legend": {"top": 0, "textStyle": {"color": colours.ink}},
        "tooltip": {"trigger": "axis"},
        "xAxis": {
            "type": "category",
            "data": [f"{bar.defect or 'not named'}\n{bar.count}" for bar in found],
            "axisLabel": {"interval": 0, "width": 110, "overflow": "break", "color": colours.quiet},
        },
        "yAxis": [
            {
                "type": "value",
                "minInterval": 1,
                "splitLine": {"lineStyle": {"color": colours.border, "type": "dashed"}},
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
                "data": [bar.count for bar in found],
                "itemStyle": {"color": colours.accent},
            },
            {
                "name": "so far",
                "type": "line",
                "yAxisIndex": 1,
                "symbol": "diamond",
                "symbolSize": 9,
                "data": [round(100 * bar.cumulative, 1) for bar in found],
                "lineStyle": {"color": colours.flag},
                "itemStyle": {"color": colours.flag},
            },
        ],
    }


def rates(names: Sequence[str], found: Sequence[Estimate | None], colours: Palette) -> Option:
    """A rate a group in percent, each a point with its interval; a group that can't be told stays empty."""
    return {
        "animation": False,
        "grid": {"left": 8, "right": 16, "top": 12, "bottom": 8, "containLabel": True},
        "tooltip": {"trigger": "item"},
        "xAxis": {"type": "category", "data": list(names), "axisLabel": {"color": colours.quiet, "hideOverlap": True}},
        "yAxis": {
            "type": "value",
            "min": 0,
            "axisLabel": {"formatter": "{value} %"},
            "splitLine": {"lineStyle": {"color": colours.border, "type": "dashed"}},
        },
        "series": [
            {
                "type": "candlestick",
                "silent": True,
                "barWidth": 1,
                "data": [
                    [] if one is None else [100 * one.value, 100 * one.value, 100 * one.low, 100 * one.high]
                    for one in found
                ],
                "itemStyle": {"color": colours.quiet, "borderColor": colours.quiet, "borderColor0": colours.quiet},
            },
            {
                "type": "scatter",
                "symbol": "circle",
                "symbolSize": 10,
                "itemStyle": {"color": colours.accent},
                "data": [
                    {
                        "name": f"{name}: {one.value:.2%} ({one.low:.2%} to {one.high:.2%})",
                        "value": [place, round(100 * one.value, 3)],
                    }
                    for place, (name, one) in enumerate(zip(names, found, strict=True))
                    if one is not None
                ],
                "tooltip": {"formatter": "{b}"},
            },
        ],
    }


def _scores(chart: ControlChart, times: Sequence[str], colours: Palette, name: str) -> Option:
    points = [math.exp(one) for one in chart.points.tolist()]
    upper, lower = ([math.exp(one) for one in edge.tolist()] for edge in (chart.upper, chart.lower))
    low, high = min([*points, *lower]), max([*points, *upper])
    margin = 0.05 * (high - low)
    option = _frame(times, colours, "", (max(0.0, low - margin), high + margin))
    centre = _levels([(math.exp(chart.centre), "centre")], colours)
    centre["data"][0]["lineStyle"] = {"color": colours.good, "type": "solid", "width": 1.5}
    centre["data"][0]["label"]["color"] = colours.good
    option["series"] = [
        _line(name, points, colours.accent) | {"markLine": centre},
        _line("limits", upper, colours.flag) | {"lineStyle": {"color": colours.flag, "type": "dashed", "width": 1.5}},
        _line("limits", lower, colours.flag) | {"lineStyle": {"color": colours.flag, "type": "dashed", "width": 1.5}},
        *_broken(points, chart.signals, colours),
    ]
    option["legend"]["data"] = list(dict.fromkeys(one["name"] for one in option["series"]))
    return option


def _frame(times: Sequence[str], colours: Palette, unit: str, ends: tuple[float, float]) -> Option:
    return {
        "animation": False,
        "grid": {"left": 8, "right": 58, "top": 40, "bottom": 8, "containLabel": True},
        "legend": {"top": 0, "type": "scroll", "textStyle": {"color": colours.ink}},
        "tooltip": {"trigger": "axis"},
        "xAxis": {
            "type": "category",
            "data": list(times),
            "boundaryGap": False,
            "axisLabel": {"color": colours.quiet, "hideOverlap": True},
            "axisLine": {"onZero": False, "lineStyle": {"color": colours.border}},
        },
        "yAxis": {
            "type": "value",
            **reach(*ends),
            "axisLabel": {
                "formatter": "{value}" + (f" {unit}" if unit else ""),
                "showMinLabel": False,
                "showMaxLabel": False,
            },
            "splitLine": {"show": False},
        },
        "series": [],
    }


def _broken(points: Sequence[float], signals: Sequence[Sequence[Signal]], colours: Palette) -> list[Option]:
    """One series a rule; a point that breaks several is drawn for the first of them."""
    found: list[Option] = []
    for rule, (symbol, words) in RULES.items():
        places = [place for place, broken in enumerate(signals) if broken and broken[0] == rule]
        if places:
            found.append(
                {
                    "name": f"{rule}: {words}",
                    "type": "scatter",
                    "symbol": symbol,
                    "symbolSize": 9,
                    "z": 5,
                    "data": [[place, short(points[place])] for place in places],
                    "itemStyle": {"color": colours.flag, "borderColor": colours.surface, "borderWidth": 1},
                }
            )
    return found


def _line(name: str, values: Sequence[float], colour: str) -> Option:
    return {
        "name": name,
        "type": "line",
        "data": [short(value) for value in values],
        "showSymbol": False,
        "lineStyle": {"color": colour, "width": 1.5},
        "itemStyle": {"color": colour},
    }


def _levels(levels: Sequence[tuple[float, str]], colours: Palette) -> Option:
    return {
        "silent": True,
        "symbol": "none",
        "precision": EXACT,
        "data": [
            {
                "yAxis": level,
                "lineStyle": {"color": colours.flag, "type": "dashed", "width": 1.5},
                "label": {"show": True, "formatter": name, "position": "end", "color": colours.flag},
            }
            for level, name in levels
        ],
    }


def _is_over(value: float, limit: float | None) -> bool:
    return limit is not None and value > limit
