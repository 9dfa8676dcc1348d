"""KPIs and the shift report from verdicts and reviews in a real database."""

from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from uuid import uuid4

import pytest

from alerts.kpis.kpis import InspectionCounts, compute_kpis, escaped_share
from alerts.kpis.queries import build_shift_report, counts_by_period, counts_by_station, kpi_rows
from alerts.kpis.shift_report import render_shift_report
from alerts.kpis.shifts import CalendarPeriod, parse_plant_calendar
from storage.alerts import alerts
from storage.database.engine import Database
from storage.line import stations, verdicts
from storage.line.stations import StationSettings
from storage.line.verdicts import Verdict
from storage.review import reviews
from storage.review.labels import Label
from storage.review.reviews import LabelSubmission
from tests.storage.examples import add_active_set, add_station, make_verdict

PLANT = parse_plant_calendar("Europe/Berlin", "early=06:00,late=14:00,night=22:00")
MORNING = datetime(2026, 1, 15, 7, 0, tzinfo=UTC)  # 08:00 in Berlin, in the early shift
HOUR = timedelta(hours=1)


def submit_label(database: Database, verdict: Verdict, label: Label, *tags: str) -> None:
    with database.begin() as session:
        reviews.submit(
            session, LabelSubmission(uuid4(), verdict.frame_id, label, tags), "ada", verdict.captured_at + HOUR
        )


@pytest.fixture
def seeded(database: Database) -> Database:
    """Ten frames at s1 in the early shift, three flagged and two borderline; two at s2 in the late; two unscored."""
    with database.begin() as session:
        first, second = (add_active_set(session, add_station(session, name)) for name in ("s1", "s2"))
        early = [
            make_verdict(
                first,
                at=MORNING + number * timedelta(minutes=1),
                score=0.6 if number < 3 else 0.45 if number < 5 else 0.25,
                decision="flag" if number < 3 else "pass",
                review_limit=0.4,
            )
            for number in range(10)
        ]
        late = [make_verdict(second, at=MORNING + 8 * HOUR + number * timedelta(minutes=1)) for number in range(2)]
        unseen = [make_verdict(first, at=MORNING, decision=decision) for decision in ("no_reference", "bad_picture")]
        verdicts.record(session, [*early, *late, *unseen])
        alerts.open_episode(session, first.station_id, "k_of_n", "warning", "<b>6</b> of 10", {}, MORNING + HOUR)
    submit_label(database, early[0], "defect", "scratch")
    submit_label(database, early[1], "defect", "scratch", "dent")
    submit_label(database, early[2], "false_alarm")
    submit_label(database, early[3], "defect")
    submit_label(database, early[4], "false_alarm")
    submit_label(database, early[5], "unsure")
    return database


def test_labels_are_counted_by_decision_and_kind(seeded: Database) -> None:
    with seeded.read() as session:
        counts = counts_by_station(session, MORNING, MORNING + HOUR)
    assert list(counts.values()) == [
        InspectionCounts(10, 3, caught=2, false_alarms=1, confirmed=1, escaped=1, bad_pictures=1, borderline=2)
    ]


def test_borderline_frames_have_a_share_of_the_inspected_ones(seeded: Database) -> None:
    with seeded.read() as session:
        (counts,) = counts_by_station(session, MORNING, MORNING + HOUR).values()
    assert compute_kpis(counts).borderline_share == 0.2
    assert compute_kpis(counts + counts).borderline_share == 0.2
    assert compute_kpis(InspectionCounts(0, 0)).borderline_share is None


def test_bad_pictures_have_a_share_of_their_own_and_count_in_no_other(seeded: Database) -> None:
    with seeded.read() as session:
        (counts,) = counts_by_station(session, MORNING, MORNING + HOUR).values()
    kpis = compute_kpis(counts)
    assert kpis.bad_picture_share == 1 / 11
    assert (kpis.first_pass_yield, kpis.flagged_ppm) == (0.7, 300_000)
    assert compute_kpis(InspectionCounts(0, 0)).bad_picture_share is None
    assert compute_kpis(InspectionCounts(0, 0, bad_pictures=2)).bad_picture_share == 1


def test_counts_of_many_periods_equal_those_of_each(seeded: Database) -> None:
    until = MORNING + 24 * HOUR
    with seeded.read() as session:
        periods = [
            *PLANT.shifts_between(MORNING, until),
            CalendarPeriod("all", MORNING, until),
            CalendarPeriod("none", until, until),
        ]
        assert counts_by_period(session, periods) == [
            counts_by_station(session, one.since, one.until) for one in periods
        ]


def test_only_randomly_sampled_frames_estimate_escapes(database: Database) -> None:
    with database.begin() as session:
        verdict = add_active_set(session, add_station(session, "s1"))
        near = [make_verdict(verdict, at=MORNING, score=0.49) for _ in range(5)]
        verdicts.record(session, near)
        stations.edit(session, "s1", StationSettings(sample_one_in=1))
        drawn = [make_verdict(verdict, at=MORNING, score=0.1) for _ in range(3)]
        verdicts.record(session, drawn)
    for frame in near:
        submit_label(database, frame, "defect")
    with database.read() as session:
        (counts,) = counts_by_station(session, MORNING, MORNING + HOUR).values()
    assert escaped_share(counts) is None
    for frame in drawn:
        submit_label(database, frame, "false_alarm")
    with database.read() as session:
        (counts,) = counts_by_station(session, MORNING, MORNING + HOUR).values()
    assert counts == InspectionCounts(8, 0, confirmed=3, escaped=5, sampled_good=3)


def test_kpis_are_grouped_by_station_shift_and_day(seeded: Database) -> None:
    with seeded.read() as session:
        all_stations, until = stations.list_all(session), MORNING + 24 * HOUR
        by_station = kpi_rows(session, all_stations, MORNING, until, "station", PLANT)
        by_shift = kpi_rows(session, all_stations, MORNING, until, "shift", PLANT)
        by_day = kpi_rows(session, all_stations[:1], MORNING, until, "day", PLANT)
    assert [(row.group, row.kpis.counts.frames) for row in by_station] == [("s1", 10), ("s2", 2)]
    assert [(row.group, row.kpis.first_pass_yield) for row in by_shift] == [
        ("2026-01-15 early", 0.7),
        ("2026-01-15 late", 1.0),
    ]
    assert [(row.group, row.station, row.kpis.counts.frames) for row in by_day] == [("2026-01-15", "s1", 10)]


class ParsedReport(HTMLParser):
    """The text that a page shows, and every URL that it would request."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.requested_urls: list[str] = []
        self.open_tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "meta":
            self.open_tags.append(tag)
        self.requested_urls += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Do nothing: such a tag has no end tag."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_shift_report_loads_no_other_resource_and_shows_the_shift(seeded: Database) -> None:
    with seeded.read() as session:
        all_stations = stations.list_all(session)
        text = render_shift_report(build_shift_report(session, all_stations, MORNING, PLANT, 1, MORNING + 2 * HOUR))
    page = ParsedReport(text)
    shown = " ".join(page.texts)
    assert page.open_tags == []
    assert page.requested_urls == []
    assert "<script" not in text
    assert "Shift 2026-01-15 early" in shown
    assert "2026-01-15 06:00 to 2026-01-15 14:00 (Europe/Berlin). It is not over yet." in shown
    assert "70.00%" in shown
    assert "2 (20.00%)" in shown
    assert "<b>6</b> of 10" in shown  # as text, not as a tag
    assert "2 (50% so far)" in shown  # scratch, before dent and the defect without a type
    assert "Nothing was scored." in shown  # at s2, in this shift


def test_a_shift_without_frames_is_reported_as_such(database: Database) -> None:
    with database.read() as session:
        shown = " ".join(
            ParsedReport(
                render_shift_report(build_shift_report(session, [], MORNING, PLANT, 1, MORNING + 24 * HOUR))
            ).texts
        )
    assert "No frame was inspected in this shift." in shown
    assert "No alert was open in this shift." in shown
    assert "not over yet" not in shown
