from dataclasses import replace
from datetime import UTC, datetime, timedelta

from dashboard.charts import scores
from dashboard.charts.echarts import Option
from dashboard.theme import LIGHT
from storage.rollups.trends import TrendPoint
from tests.dashboard.seeding import bare

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
NOON_MS = 1_795_521_600_000
MINUTE = timedelta(minutes=1)


def point(minute: int, mean: float | None = 0.2, threshold: float | None = 0.4) -> TrendPoint:
    return TrendPoint(NOON + minute * MINUTE, 3, 1, mean, None if mean is None else mean + 0.1, threshold)


def named(option: Option, name: str) -> Option:
    found: list[Option] = [series for series in option["series"] if series["name"] == name]
    (series,) = found
    return series


def test_a_trend_has_gaps_where_nothing_was_scored() -> None:
    points = [point(0), point(1), point(9, 0.3), point(10, None)]
    option = scores.trend(points, [], NOON, NOON + 20 * MINUTE, MINUTE, LIGHT)
    assert named(option, "mean score")["data"] == [
        [NOON_MS, 0.2],
        [NOON_MS + 60_000, 0.2],
        [NOON_MS + 120_000, None],
        [NOON_MS + 540_000, 0.3],
    ]
    assert (option["xAxis"]["min"], option["xAxis"]["max"]) == (NOON_MS, NOON_MS + 1_200_000)


def test_a_trend_steps_with_the_threshold() -> None:
    points = [point(0, threshold=0.4), point(1, threshold=0.5)]
    threshold = named(scores.trend(points, [], NOON, NOON + MINUTE, MINUTE, LIGHT), "threshold")
    assert [value for _, value in threshold["data"]] == [0.4, 0.5]
    assert threshold["step"]


def test_the_first_series_holds_the_flagged_frames_in_the_order_given() -> None:
    frame = bare(NOON, 0.7)
    later = replace(frame, captured_at=NOON + MINUTE, score=0.8)
    flagged = scores.trend([point(0)], [later, frame], NOON, NOON + MINUTE, MINUTE, LIGHT)["series"][0]
    assert flagged["data"] == [[NOON_MS + 60_000, 0.8], [NOON_MS, 0.7]]


def test_a_histogram_colours_the_bars_above_the_threshold_and_marks_it() -> None:
    option = scores.histogram([(0.1, 0.2, 7), (0.2, 0.3, 2), (0.3, 0.4, 1)], 0.25, LIGHT)
    (bars,) = option["series"]
    assert [bar["itemStyle"]["color"] for bar in bars["data"]] == [LIGHT.accent, LIGHT.accent, LIGHT.flag]
    assert [bar["value"][1] for bar in bars["data"]] == [7, 2, 1]
    assert bars["markLine"]["data"] == [{"xAxis": 0.25}]


def test_a_threshold_beyond_all_scores_is_still_within_the_chart() -> None:
    option = scores.histogram([(0.1, 0.2, 7)], 0.9, LIGHT)
    assert option["xAxis"]["min"] < 0.1
    assert option["xAxis"]["max"] > 0.9


def test_the_threshold_of_small_scores_is_not_rounded_and_within_the_chart() -> None:
    threshold = 0.01187
    spark = scores.sparkline([0.0093, 0.0104], threshold, LIGHT)
    histogram = scores.histogram([(0.008, 0.009, 3), (0.009, 0.0118, 4)], threshold, LIGHT)
    for marked in (spark["series"][0]["markLine"], histogram["series"][0]["markLine"]):
        assert marked["precision"] < 0  # or ECharts draws it at 0.01
        assert next(iter(marked["data"][0].values())) == threshold
    assert histogram["xAxis"]["min"] < 0.008
    assert threshold < histogram["xAxis"]["max"] < 0.0121
    assert histogram["series"][0]["markLine"]["label"]["formatter"] == "threshold 0.0119"


def test_a_sparkline_marks_the_scores_above_the_threshold_and_shows_it() -> None:
    line, marks = scores.sparkline([0.1, 0.5, 0.2], 0.4, LIGHT)["series"]
    assert line["data"] == [(0, 0.1), (1, 0.5), (2, 0.2)]
    assert line["markLine"]["data"] == [{"yAxis": 0.4}]
    assert marks["data"] == [(1, 0.5)]


def test_a_sparkline_of_one_score_without_threshold_is_drawn() -> None:
    line, marks = scores.sparkline([0.1], None, LIGHT)["series"]
    assert "markLine" not in line
    assert marks["data"] == []


def test_components_are_in_alphabetical_order_from_the_top() -> None:
    option = scores.components({"text": 0.12344, "image": 0.5}, LIGHT)
    assert option["yAxis"]["data"] == ["text", "image"]  # the first category is drawn at the bottom
    assert option["series"][0]["data"] == [0.1234, 0.5]
