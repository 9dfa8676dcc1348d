"""Pareto charts and rates as pure functions of numbers."""

from alerts.kpis.kpis import pareto
from alerts.statistics.confidence_intervals import Estimate
from dashboard import theme
from dashboard.charts import kpi_charts


def test_a_pareto_chart_shows_counts_and_the_cumulative_share() -> None:
    option = kpi_charts.pareto(pareto({"dent": 1, "scratch": 3, "": 0}), theme.LIGHT)
    assert option["xAxis"]["data"] == ["scratch\n3", "dent\n1"]
    assert option["series"][1]["data"] == [75.0, 100.0]


def test_a_rate_without_an_estimate_leaves_its_index_empty() -> None:
    option = kpi_charts.rates(["early", "late"], [None, Estimate(0.02, 0.01, 0.04)], theme.LIGHT)
    assert option["series"][0]["data"] == [[], [2.0, 2.0, 1.0, 4.0]]
    assert [point["value"] for point in option["series"][1]["data"]] == [[1, 2.0]]
