"""Frames captured over time, as a chart."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from dashboard import formatting
from dashboard.charts.echarts import Option, milliseconds
from dashboard.theme import Palette


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
