"""Charts of KPIs and of an alert's values as ECharts options: bars, a Pareto chart, and rates with intervals."""

from collections.abc import Mapping, Sequence

from alerts.kpis.kpis import ParetoBar
from alerts.statistics.confidence_intervals import Estimate
from dashboard.charts.echarts import FULL_PRECISION, Option
from dashboard.theme import Palette

MAX_NAME = 18  # characters of a defect type beside its bar


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
                    "color": palette.text,
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
    """Return the defect types with their counts, most frequent on top, and the cumulative share.

    The bars lie, so that each name has a line of its own however many types there are; see `pareto_height`.
    """
    split_line = {"lineStyle": {"color": palette.border, "type": "dashed"}}
    return {
        "animation": False,
        "grid": {"left": 8, "right": 24, "top": 56, "bottom": 8, "containLabel": True},
        "legend": {"top": 0, "textStyle": {"color": palette.text}},
        "tooltip": {"trigger": "axis", "axisPointer": {"type": "shadow"}},
        "yAxis": {
            "type": "category",
            "inverse": True,
            "data": [f"{_short(bar.defect or 'no type')}: {bar.count}" for bar in bars],
            "axisTick": {"show": False},
            "axisLabel": {"interval": 0, "color": palette.text},
        },
        "xAxis": [
            {"type": "value", "minInterval": 1, "axisLabel": {"hideOverlap": True}, "splitLine": split_line},
            {
                "type": "value",
                "position": "top",
                "min": 0,
                "max": 100,
                "interval": 50,
                "axisLabel": {"formatter": "{value} %"},
                "splitLine": {"show": False},
            },
        ],
        "series": [
            {
                "name": "defects",
                "type": "bar",
                "barMaxWidth": 20,
                "data": [bar.count for bar in bars],
                "itemStyle": {"color": palette.accent},
            },
            {
                "name": "cumulative",
                "type": "line",
                "xAxisIndex": 1,
                "symbol": "diamond",
                "symbolSize": 9,
                "data": [[round(100 * bar.cumulative, 1), index] for index, bar in enumerate(bars)],
                "lineStyle": {"color": palette.flag},
                "itemStyle": {"color": palette.flag},
            },
        ],
    }


def pareto_height(bars: int) -> int:
    """Return the height in pixels that a Pareto chart of so many bars needs."""
    return 96 + 28 * max(bars, 3)


def rates(names: Sequence[str], estimates: Sequence[Estimate | None], palette: Palette) -> Option:
    """Return a rate per group in percent, each a point with its interval; a group without an estimate stays empty."""
    return {
        "animation": False,
        "grid": {"left": 8, "right": 16, "top": 12, "bottom": 8, "containLabel": True},
        "tooltip": {"trigger": "item"},
        "xAxis": {
            "type": "category",
            "data": list(names),
            "axisLabel": {"interval": 0, "color": palette.secondary_text, "hideOverlap": True},
        },
        "yAxis": {
            "type": "value",
            "min": 0,
            "axisLabel": {"formatter": "{value} %"},
            "splitLine": {"lineStyle": {"color": palette.border, "type": "dashed"}},
        },
        "series": [
            _intervals(estimates, palette),
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


def _intervals(estimates: Sequence[Estimate | None], palette: Palette) -> Option:
    """Return intervals in percent as candlesticks without a body: ECharts has no error bars."""
    colour = palette.secondary_text
    return {
        "type": "candlestick",
        "silent": True,
        "barWidth": 1,
        "data": [
            []
            if estimate is None
            else [100 * value for value in (estimate.value, estimate.value, estimate.low, estimate.high)]
            for estimate in estimates
        ],
        "itemStyle": {"color": colour, "borderColor": colour, "borderColor0": colour},
    }


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"


def _is_over(value: float, limit: float | None) -> bool:
    return limit is not None and value > limit
