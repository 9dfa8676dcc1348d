"""Control charts as ECharts options: pure functions of numbers.

Points that are out of control differ by shape as well as by colour, and each rule has its own shape.
"""

import math
from collections.abc import Mapping, Sequence

from alerts.statistics.control_charts import ControlChart, CusumChart, InControlProcess, Signal
from dashboard.charts.echarts import FULL_PRECISION, Option, axis_range, round_significant
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
                "lineStyle": {"color": palette.secondary_text, "type": "dotted", "width": 1, "opacity": 0.6},
                "label": {"show": False},
            }
        )
    return option


def ewma(chart: ControlChart, times: Sequence[str], palette: Palette) -> Option:
    """Return an EWMA chart: the weighted average of the scores and its limits, which widen over the first points."""
    return _scores(chart, times, palette, "average")


def cusum(sums: CusumChart, times: Sequence[str], palette: Palette) -> Option:
    """Return a CUSUM chart: both sums in sigmas, the one for falling scores drawn downwards.

    The limits are named on their outer sides: beside sums of hundreds of sigmas both lie near the middle.
    """
    high, low = sums.high.tolist(), (-sums.low).tolist()
    points = [rising if rising >= -falling else falling for rising, falling in zip(high, low, strict=True)]
    extent = 1.1 * max(sums.limit, *high, *(-value for value in low))
    option = _frame(times, palette, "σ", (-extent, extent))
    name = f"{sums.limit:g} σ"
    option["series"] = [
        _line("rising", high, palette.accent) | {"markLine": _levels([(sums.limit, name)], palette, "insideEndTop")},
        _line("falling", low, palette.idle)
        | {
            "markLine": _levels([(-sums.limit, f"−{name}")], palette, "insideEndBottom"),
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
        "lineStyle": {"color": palette.text, "type": "solid", "width": 1.5},
        "label": {"show": True, "formatter": "alert", "color": palette.text},
    }
    marks = first["markLine"] | {"data": [*first["markLine"]["data"], line]}
    return option | {"series": [first | {"markLine": marks}, *others]}


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
        "legend": {"top": 0, "type": "scroll", "textStyle": {"color": palette.text}},
        "tooltip": {"trigger": "axis"},
        "xAxis": {
            "type": "category",
            "data": list(times),
            "boundaryGap": False,
            "axisLabel": {"color": palette.secondary_text, "hideOverlap": True},
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


def _levels(levels: Sequence[tuple[float, str]], palette: Palette, position: str = "end") -> Option:
    """Return horizontal lines with their names; `position` is where ECharts writes them."""
    return {
        "silent": True,
        "symbol": "none",
        "precision": FULL_PRECISION,
        "data": [
            {
                "yAxis": level,
                "lineStyle": {"color": palette.flag, "type": "dashed", "width": 1.5},
                "label": {"show": True, "formatter": name, "position": position, "color": palette.flag},
            }
            for level, name in levels
        ],
    }
