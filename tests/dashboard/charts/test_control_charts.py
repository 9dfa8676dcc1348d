"""Control charts as pure functions of numbers."""

import math

import pytest

from alerts.statistics.control_charts import InControlProcess, cusum, individuals
from dashboard import theme
from dashboard.charts import control_charts

PROCESS = InControlProcess(math.log(0.2), 0.1, 300)  # three sigmas are a factor of 1.35


def test_limits_are_drawn_as_scores_three_sigmas_of_the_logarithm_from_the_centre() -> None:
    chart = individuals([math.log(0.2), math.log(0.3)], PROCESS)
    option = control_charts.individuals(chart, PROCESS, ["12:00", "12:01"], theme.LIGHT)
    score, upper, lower, broken = option["series"]
    assert score["data"] == [0.2, 0.3]
    assert upper["data"] == [pytest.approx(0.2 * math.exp(0.3), abs=1e-4)] * 2
    assert lower["data"] == [pytest.approx(0.2 * math.exp(-0.3), abs=1e-4)] * 2
    assert (broken["name"], broken["data"]) == ("WE1: one beyond 3 σ", [[1, 0.3]])
    zones = [line["yAxis"] for line in score["markLine"]["data"]]
    assert zones == [pytest.approx(0.2 * math.exp(0.1 * n)) for n in (0, -2, -1, 1, 2)]


def test_limits_of_small_scores_are_within_the_chart_and_not_rounded() -> None:
    process = InControlProcess(math.log(0.00877), 0.115, 300)
    option = control_charts.individuals(
        individuals([math.log(0.0081), math.log(0.0093)], process), process, ["1", "2"], theme.LIGHT
    )
    score, upper, lower = option["series"][:3]
    assert option["yAxis"]["min"] < lower["data"][0] < upper["data"][0] < option["yAxis"]["max"]
    assert score["data"] == [0.0081, 0.0093]
    assert score["markLine"]["precision"] < 0  # or ECharts draws the centre at 0.01
    assert score["markLine"]["data"][0]["yAxis"] == pytest.approx(0.00877)


def test_rules_of_one_chart_have_different_symbols() -> None:
    shapes = [control_charts.RULES[rule][0] for rule in ("WE1", "WE2", "WE3", "WE4")]
    assert len(set(shapes)) == 4


def test_a_cusum_runs_up_for_rising_scores_and_down_for_falling_ones() -> None:
    logs = [PROCESS.centre + 2.9 * PROCESS.sigma] * 3 + [PROCESS.centre - 6 * PROCESS.sigma] * 3
    option = control_charts.cusum(cusum(logs, PROCESS), [str(n) for n in range(6)], theme.DARK)
    rising, falling, broken = option["series"]
    assert rising["data"] == [2.4, 4.8, 7.2, 0.7, 0, 0]  # z - 0.5 each, never below zero
    assert falling["data"] == [0, 0, 0, -5.5, -11.0, -16.5]
    assert broken["data"] == [[2, 7.2], [3, -5.5], [4, -11.0], [5, -16.5]]
    assert option["yAxis"]["max"] == -option["yAxis"]["min"] > 16.5


def test_the_limits_of_a_cusum_are_named_apart_beside_sums_of_hundreds_of_sigmas() -> None:
    logs = [PROCESS.centre + 60 * PROCESS.sigma] * 4 + [PROCESS.centre - 60 * PROCESS.sigma] * 4
    option = control_charts.cusum(cusum(logs, PROCESS), [str(n) for n in range(8)], theme.LIGHT)
    upper, lower = (series["markLine"]["data"][0] for series in option["series"][:2])
    assert option["yAxis"]["max"] > 200 > upper["yAxis"] > 0 > lower["yAxis"]
    assert (upper["label"]["position"], lower["label"]["position"]) == ("insideEndTop", "insideEndBottom")
