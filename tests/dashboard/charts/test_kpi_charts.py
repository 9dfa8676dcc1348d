"""Pareto charts and rates as pure functions of numbers."""

from alerts.kpis.kpis import pareto
from alerts.statistics.confidence_intervals import Estimate
from dashboard import theme
from dashboard.charts import kpi_charts


def test_a_pareto_chart_shows_counts_and_the_cumulative_share() -> None:
    option = kpi_charts.pareto(pareto({"dent": 1, "scratch": 3, "": 0}), theme.LIGHT)
    assert option["yAxis"]["data"] == ["scratch: 3", "dent: 1"]
    assert option["yAxis"]["inverse"]  # the most frequent on top
    assert option["series"][1]["data"] == [[75.0, 0], [100.0, 1]]


def test_a_long_defect_type_leaves_room_for_the_bars_and_shows_its_count() -> None:
    option = kpi_charts.pareto(pareto({"stain on the left edge of the housing": 12}), theme.LIGHT)
    (name,) = option["yAxis"]["data"]
    assert name.endswith(": 12")
    assert len(name) <= kpi_charts.MAX_NAME + len(": 12")


def test_each_bar_of_a_pareto_chart_has_a_line_of_text_however_many_there_are() -> None:
    line_height = 16
    for bars in (1, 4, 40):
        assert kpi_charts.pareto_height(bars) >= 80 + line_height * bars


def test_a_rate_without_an_estimate_leaves_its_index_empty() -> None:
    option = kpi_charts.rates(["early", "late"], [None, Estimate(0.02, 0.01, 0.04)], theme.LIGHT)
    assert option["series"][0]["data"] == [[], [2.0, 2.0, 1.0, 4.0]]
    assert [point["value"] for point in option["series"][1]["data"]] == [[1, 2.0]]
