from dataclasses import replace
from datetime import UTC, datetime, timedelta

from dashboard.charts import scores
from dashboard.charts.echarts import Option
from dashboard.theme import LIGHT
from storage.line.thresholds import Threshold
from storage.rollups.trends import TrendPoint
from tests.dashboard.seeding import bare

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
NOON_MS = 1_795_521_600_000
MINUTE = timedelta(minutes=1)


def point(minute: int, mean: float | None = 0.2, threshold: float | None = 0.4) -> TrendPoint:
    return TrendPoint(NOON + minute * MINUTE, 3, 1, mean, None if mean is None else mean + 0.1, threshold)


def threshold(value: float, review_limit: float | None, minute: int) -> Threshold:
    made_at = NOON + minute * MINUTE
    return Threshold(1, 1, "model", value, 0.01, "", made_at, "scorer-1", review_limit=review_limit)


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
    line = named(scores.trend(points, [], NOON, NOON + MINUTE, MINUTE, LIGHT), "threshold")
    assert [value for _, value in line["data"]] == [0.4, 0.5]
    assert line["step"]


def test_a_trend_shows_the_review_limit_that_was_in_force_beside_each_threshold() -> None:
    points = [point(0, threshold=0.4), point(1, threshold=0.4), point(2, threshold=0.5)]
    history = [threshold(0.4, 0.2, 30), threshold(0.5, 0.45, 2), threshold(0.4, 0.35, 1), threshold(0.4, None, -9)]
    option = scores.trend(points, [], NOON, NOON + 3 * MINUTE, MINUTE, LIGHT, history)
    assert [value for _, value in named(option, "review limit")["data"]] == [None, 0.35, 0.45]
    assert named(option, "review limit")["lineStyle"]["color"] == LIGHT.borderline_mark
    assert "review limit" in [entry["name"] for entry in option["legend"]["data"]]


def test_a_trend_of_thresholds_without_review_limit_has_no_line_and_no_legend_for_it() -> None:
    option = scores.trend([point(0)], [], NOON, NOON + MINUTE, MINUTE, LIGHT, [threshold(0.4, None, 0)])
    assert [series["name"] for series in option["series"]] == ["flagged frame", "maximum", "mean score", "threshold"]
    assert "review limit" not in [entry["name"] for entry in option["legend"]["data"]]


def test_a_trend_with_a_frame_marked_keeps_the_review_limit_in_its_legend() -> None:
    trend = scores.trend([point(0)], [], NOON, NOON + MINUTE, MINUTE, LIGHT, [threshold(0.4, 0.3, 0)])
    marked = scores.with_frame_marked(trend, bare(NOON, 0.35), LIGHT)
    assert [entry["name"] for entry in marked["legend"]["data"]] == ["mean score", "threshold", "review limit"]


def test_the_first_series_holds_the_flagged_frames_in_the_order_given() -> None:
    frame = bare(NOON, 0.7)
    later = replace(frame, captured_at=NOON + MINUTE, score=0.8)
    flagged = scores.trend([point(0)], [later, frame], NOON, NOON + MINUTE, MINUTE, LIGHT)["series"][0]
    assert flagged["data"] == [[NOON_MS + 60_000, 0.8], [NOON_MS, 0.7]]


def test_a_histogram_colours_the_bars_above_the_threshold_and_marks_it() -> None:
    option = scores.histogram([(0.1, 0.2, 7), (0.2, 0.3, 2), (0.3, 0.4, 1)], 0.25, None, LIGHT)
    (bars,) = option["series"]
    assert [bar["itemStyle"]["color"] for bar in bars["data"]] == [LIGHT.accent, LIGHT.accent, LIGHT.flag]
    assert [bar["value"][1] for bar in bars["data"]] == [7, 2, 1]
    assert bars["markLine"]["data"] == [{"xAxis": 0.25}]


def test_a_histogram_colours_the_bars_between_both_limits_amber_and_marks_both() -> None:
    bins = [(0.1, 0.2, 7), (0.2, 0.3, 2), (0.3, 0.4, 1), (0.4, 0.5, 1), (0.5, 0.6, 1)]
    (bars,) = scores.histogram(bins, 0.45, 0.3, LIGHT)["series"]
    colours = [bar["itemStyle"]["color"] for bar in bars["data"]]
    assert colours == [LIGHT.accent, LIGHT.accent, LIGHT.borderline_mark, LIGHT.borderline_mark, LIGHT.flag]
    threshold_line, review_line = bars["markLine"]["data"]
    assert (threshold_line["xAxis"], review_line["xAxis"]) == (0.45, 0.3)
    assert review_line["label"]["formatter"] == "review limit 0.300"
    assert review_line["lineStyle"]["color"] == LIGHT.borderline_mark


def test_a_review_limit_that_equals_the_threshold_is_not_drawn() -> None:
    (bars,) = scores.histogram([(0.1, 0.2, 7), (0.2, 0.3, 2)], 0.25, 0.25, LIGHT)["series"]
    assert bars["markLine"]["data"] == [{"xAxis": 0.25}]
    assert LIGHT.borderline_mark not in [bar["itemStyle"]["color"] for bar in bars["data"]]


def test_a_review_limit_below_all_scores_is_within_the_charts() -> None:
    assert scores.histogram([(0.2, 0.3, 7)], 0.4, 0.1, LIGHT)["xAxis"]["min"] < 0.1
    assert scores.sparkline([0.2, 0.3], 0.4, 0.1, LIGHT)["yAxis"]["min"] == 0.1


def test_a_threshold_beyond_all_scores_is_still_within_the_chart() -> None:
    option = scores.histogram([(0.1, 0.2, 7)], 0.9, None, LIGHT)
    assert option["xAxis"]["min"] < 0.1
    assert option["xAxis"]["max"] > 0.9


def test_the_threshold_of_small_scores_is_not_rounded_and_within_the_chart() -> None:
    small = 0.01187
    spark = scores.sparkline([0.0093, 0.0104], small, None, LIGHT)
    histogram = scores.histogram([(0.008, 0.009, 3), (0.009, 0.0118, 4)], small, None, LIGHT)
    for marked in (spark["series"][0]["markLine"], histogram["series"][0]["markLine"]):
        assert marked["precision"] < 0  # or ECharts draws it at 0.01
        assert next(iter(marked["data"][0].values())) == small
    assert histogram["xAxis"]["min"] < 0.008
    assert small < histogram["xAxis"]["max"] < 0.0121
    assert histogram["series"][0]["markLine"]["label"]["formatter"] == "threshold 0.0119"


def test_a_sparkline_marks_the_scores_above_the_threshold_and_shows_it() -> None:
    line, marks = scores.sparkline([0.1, 0.5, 0.2], 0.4, None, LIGHT)["series"]
    assert line["data"] == [(0, 0.1), (1, 0.5), (2, 0.2)]
    assert line["markLine"]["data"] == [{"yAxis": 0.4}]
    assert marks["data"] == [(1, 0.5)]


def test_a_sparkline_shows_both_limits() -> None:
    line, _ = scores.sparkline([0.1, 0.35], 0.4, 0.3, LIGHT)["series"]
    assert [one["yAxis"] for one in line["markLine"]["data"]] == [0.4, 0.3]


def test_a_sparkline_of_one_score_without_threshold_is_drawn() -> None:
    line, marks = scores.sparkline([0.1], None, None, LIGHT)["series"]
    assert "markLine" not in line
    assert marks["data"] == []


def test_components_are_in_alphabetical_order_from_the_top() -> None:
    option = scores.components({"text": 0.12344, "image": 0.5}, LIGHT)
    assert option["yAxis"]["data"] == ["text", "image"]  # the first category is drawn at the bottom
    assert option["series"][0]["data"] == [0.1234, 0.5]
