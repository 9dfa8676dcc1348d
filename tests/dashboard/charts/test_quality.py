"""Control charts, evidence and rules as pure functions: what is drawn where."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from alerts.kpis.kpis import pareto
from alerts.rules import registry
from alerts.statistics.confidence_intervals import Estimate
from alerts.statistics.control_charts import InControlProcess, cusum, ewma, individuals
from dashboard import theme
from dashboard.alerts import alert_html, effective_rules, evidence
from dashboard.charts import in_control, quality
from dashboard.charts.in_control import InControlPeriod
from storage.alerts.alert_rules import AlertRule
from storage.alerts.alerts import Alert, AlertState, Severity
from storage.alerts.notifications import Notification
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from tests.dashboard.seeding import Line, verdict

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
PROCESS = InControlProcess(math.log(0.2), 0.1, 300)  # three sigmas are a factor of 1.35


def an_alert(rule: str, state: AlertState = "opened", severity: Severity = "warning", number: int = 1) -> Alert:
    gone = NOON + timedelta(minutes=20) if state == "resolved" else None
    return Alert(number, 1, rule, severity, state, "m", {}, NOON, NOON, None, None, gone, None, "")


def test_limits_are_drawn_as_scores_three_sigmas_of_the_logarithm_from_the_centre() -> None:
    chart = individuals([math.log(0.2), math.log(0.3)], PROCESS)
    option = quality.individuals(chart, PROCESS, ["12:00", "12:01"], theme.LIGHT)
    score, upper, lower, broken = option["series"]
    assert score["data"] == [0.2, 0.3]
    assert upper["data"] == [pytest.approx(0.2 * math.exp(0.3), abs=1e-4)] * 2
    assert lower["data"] == [pytest.approx(0.2 * math.exp(-0.3), abs=1e-4)] * 2
    assert (broken["name"], broken["data"]) == ("WE1: one beyond 3 σ", [[1, 0.3]])
    zones = [line["yAxis"] for line in score["markLine"]["data"]]
    assert zones == [pytest.approx(0.2 * math.exp(0.1 * n)) for n in (0, -2, -1, 1, 2)]


def test_limits_of_small_scores_are_within_the_chart_and_lines_where_they_belong() -> None:
    process = InControlProcess(math.log(0.00877), 0.115, 300)
    option = quality.individuals(
        individuals([math.log(0.0081), math.log(0.0093)], process), process, ["1", "2"], theme.LIGHT
    )
    score, upper, lower = option["series"][:3]
    assert option["yAxis"]["min"] < lower["data"][0] < upper["data"][0] < option["yAxis"]["max"]
    assert score["data"] == [0.0081, 0.0093]
    assert score["markLine"]["precision"] < 0  # or ECharts draws the centre at 0.01
    assert score["markLine"]["data"][0]["yAxis"] == pytest.approx(0.00877)


def test_each_rule_has_a_shape_of_its_own_where_several_can_stand_in_one_chart() -> None:
    shapes = [quality.RULES[rule][0] for rule in ("WE1", "WE2", "WE3", "WE4")]
    assert len(set(shapes)) == 4


def test_a_cusum_runs_up_for_rising_scores_and_down_for_falling_ones() -> None:
    logs = [PROCESS.centre + 2.9 * PROCESS.sigma] * 3 + [PROCESS.centre - 6 * PROCESS.sigma] * 3
    option = quality.cusum(cusum(logs, PROCESS), [str(n) for n in range(6)], theme.DARK)
    rising, falling, broken = option["series"]
    assert rising["data"] == [2.4, 4.8, 7.2, 0.7, 0, 0]  # z - 0.5 each, never below zero
    assert falling["data"] == [0, 0, 0, -5.5, -11.0, -16.5]
    assert broken["data"] == [[2, 7.2], [3, -5.5], [4, -11.0], [5, -16.5]]
    assert option["yAxis"]["max"] == -option["yAxis"]["min"] > 16.5


def test_what_is_cut_off_a_chart_still_counts_for_its_average() -> None:
    values = np.full(50, PROCESS.centre + PROCESS.sigma)
    whole = ewma(values, PROCESS)
    assert list(in_control.newest(whole, 5).points) == list(whole.points[-5:])


def test_a_pareto_names_counts_and_the_share_so_far() -> None:
    option = quality.pareto(pareto({"dent": 1, "scratch": 3, "": 0}), theme.LIGHT)
    assert option["xAxis"]["data"] == ["scratch\n3", "dent\n1"]
    assert option["series"][1]["data"] == [75.0, 100.0]


def test_a_rate_that_can_not_be_told_leaves_its_place_empty() -> None:
    option = quality.rates(["early", "late"], [None, Estimate(0.02, 0.01, 0.04)], theme.LIGHT)
    assert option["series"][0]["data"] == [[], [2.0, 2.0, 1.0, 4.0]]
    assert [point["value"] for point in option["series"][1]["data"]] == [[1, 2.0]]


def test_limits_come_from_the_first_good_frames_or_from_a_time_that_is_chosen(
    line: Line, s1: Station, normal_set: NormalSet, now: datetime
) -> None:
    scores = [0.2 + n % 7 / 100 if n < 60 else 0.9 if n == 60 else 0.4 + n % 7 / 100 for n in range(120)]
    line.verdicts(
        *(verdict(line, s1, normal_set, n, now - timedelta(minutes=120 - n), score) for n, score in enumerate(scores))
    )
    with line.database.read() as session:
        first = in_control.drawn(session, s1.id, InControlPeriod(frames=50))
        chosen = in_control.drawn(
            session, s1.id, InControlPeriod(since=now - timedelta(minutes=121), until=now - timedelta(minutes=100))
        )
        none = in_control.drawn(session, s1.id, InControlPeriod(since=now + timedelta(hours=1)))
    assert isinstance(first, in_control.ControlData)
    assert isinstance(chosen, in_control.ControlData)
    assert [frame.score for frame in first.frames] == scores[:60] + [s for s in scores[61:] if s <= 0.41]
    assert first.process.count == 50
    assert chosen.process.count == 20
    assert none == "Too few good frames lie in that time to draw limits from: choose a longer one."


def test_the_window_of_an_alert_begins_before_it_and_never_grows_beyond_six_hours() -> None:
    since, until, bucket = evidence.window(an_alert("consecutive"), NOON + timedelta(days=3))
    assert (since, until) == (NOON - evidence.BEFORE, NOON - evidence.BEFORE + evidence.LONGEST)
    assert bucket == timedelta(minutes=3)
    since, until, bucket = evidence.window(an_alert("consecutive", "resolved"), NOON + timedelta(days=3))
    assert until == NOON + timedelta(minutes=25)
    assert bucket == timedelta(seconds=30)


@pytest.mark.parametrize("rule", [kind for kind, rule in registry.rules_by_kind().items() if rule.scope == "line"])
def test_every_alert_of_the_line_has_a_picture_or_says_why_not(line: Line, s1: Station, rule: str) -> None:
    facts = {
        "growing_lag": {"lag": 900, "lag_before": 500},
        "dead_letter_burst": {"letters": 3, "reasons": {"too-large": 3}, "window_s": 600},
        "disk_nearly_full": {"images": 0.95},
        "scorer_down": {"for_s": 60},
    }[rule]
    alert = Alert(1, None, rule, "warning", "opened", "m", facts, NOON, NOON, None, None, None, None, "")
    with line.database.read() as session:
        shown = evidence.read(session, alert, [s1.id], NOON, UTC, theme.LIGHT)
    if rule == "scorer_down":
        assert shown.says == "No frames of that time are kept."
    else:
        assert shown.option is not None
    if rule == "disk_nearly_full":
        assert shown.option is not None
        assert shown.option["series"][0]["data"][0]["value"] == 95.0
        assert shown.option["series"][0]["data"][0]["itemStyle"]["color"] == theme.LIGHT.flag  # above 90 %


def test_a_station_s_own_rule_goes_before_the_line_s_and_that_before_the_defaults() -> None:
    of_line = AlertRule(None, "flagged_share", {"limit": 0.4}, True)
    own = AlertRule(1, "flagged_share", {"limit": 0.5}, False)
    assert effective_rules.parameters([], 1, "flagged_share")["limit"] == 0.2
    assert effective_rules.parameters([own, of_line], 2, "flagged_share")["limit"] == 0.4
    chosen = {rule.kind: rule for rule in effective_rules.at([of_line, own], 1, "station")}["flagged_share"]
    assert (chosen.parameters["limit"], chosen.enabled, chosen.origin) == (0.5, False, "station")
    assert {rule.kind for rule in effective_rules.at([], None, "line")}.isdisjoint({"flagged_share"})


def test_open_before_acknowledged_before_resolved_the_gravest_first() -> None:
    found = [
        an_alert("k_of_n", "resolved", "critical", 1),
        an_alert("k_of_n", "acknowledged", "critical", 2),
        an_alert("k_of_n", "opened", "warning", 3),
        an_alert("k_of_n", "opened", "critical", 4),
    ]
    assert [alert.id for alert in alert_html.in_order(found)] == [4, 3, 2, 1]


def test_an_episode_tells_in_order_who_was_told_and_what_failed() -> None:
    told = [
        Notification(1, 1, 7, "opened", 2, None, NOON + timedelta(seconds=9), None, NOON),
        Notification(2, 1, 8, "opened", 12, None, None, "no answer", NOON + timedelta(seconds=1)),
    ]
    said = alert_html.timeline(an_alert("k_of_n", "resolved"), told, {7: "chat"}, UTC)
    order = ["Opened", "a removed channel could not be told (no answer)", "chat was told", "Resolved by itself"]
    assert [said.index(step) for step in order] == sorted(said.index(step) for step in order)


def test_what_came_from_outside_is_escaped() -> None:
    hostile = Alert(1, 1, "<b>x", "info", "opened", "<script>", {}, NOON, NOON, NOON, "<i>", None, None, "<u>")
    for html in (
        alert_html.item(hostile, "<s>", NOON, chosen=True),
        alert_html.head(hostile, "<s>"),
        alert_html.timeline(hostile, [], {}, UTC),
        alert_html.badge([hostile]),
    ):
        for sign in ("<script>", "<b>x", "<i>", "<u>", "<s>"):
            assert sign not in html
