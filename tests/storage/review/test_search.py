"""The search for frames, on both databases."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from storage.database.engine import Database
from storage.line import verdicts
from storage.line.verdicts import Verdict
from storage.review import reviews, search
from storage.review.labels import Label
from storage.review.reviews import LabelSubmission
from tests.storage.examples import NOON, add_active_set, add_station, make_verdict

HOUR = timedelta(hours=1)


@pytest.fixture
def hourly_frames(database: Database) -> list[Verdict]:
    """Ten frames of one part, one per hour, oldest first; the fourth and the seventh are flagged."""
    with database.begin() as session:
        first_set = add_active_set(session, add_station(session, "s1"))
        second_set = add_active_set(session, add_station(session, "s2"))
        frames = [
            replace(
                make_verdict(
                    first_set,
                    at=NOON + hour * HOUR,
                    decision="flag" if hour in (3, 6) else "pass",
                    score=0.7 if hour in (3, 6) else 0.2,
                ),
                part_id="P-1",
            )
            for hour in range(10)
        ]
        elsewhere = replace(make_verdict(second_set, at=NOON + 2 * HOUR, decision="flag", score=0.7), part_id="P-1")
        verdicts.record(session, [*frames, elsewhere])
    return frames


def test_frames_of_a_part_are_found_within_a_time_range(database: Database, hourly_frames: list[Verdict]) -> None:
    station = hourly_frames[0].station_id
    with database.read() as session:
        found = search.by_part(session, station, "P-1", NOON + HOUR, NOON + 4 * HOUR)
        newest = search.by_part(session, station, "P-1", NOON, NOON + 10 * HOUR, limit=1)
        assert search.by_part(session, station, "P-2", NOON, NOON + 10 * HOUR) == []
    assert found == hourly_frames[3:0:-1]
    assert newest == [hourly_frames[9]]


def test_frames_around_a_time_are_those_before_and_after_it(database: Database, hourly_frames: list[Verdict]) -> None:
    with database.read() as session:
        found = search.around(session, hourly_frames[0].station_id, NOON + 4.5 * HOUR, before=2, after=1)
    assert found == [hourly_frames[5], hourly_frames[4], hourly_frames[3]]


def test_flagged_frames_are_found_nearest_in_time_first(database: Database, hourly_frames: list[Verdict]) -> None:
    with database.read() as session:
        both = search.nearest_flagged(session, hourly_frames[0].station_id, NOON + 5 * HOUR)
        one = search.nearest_flagged(session, hourly_frames[0].station_id, NOON + 4 * HOUR, limit=1)
    assert both == [hourly_frames[6], hourly_frames[3]]
    assert one == [hourly_frames[3]]


def test_labels_are_counted_of_the_passed_frames_with_a_score_as_high(
    database: Database, hourly_frames: list[Verdict]
) -> None:
    station_id, until = hourly_frames[0].station_id, NOON + 10 * HOUR
    given: list[tuple[int, Label]] = [(0, "defect"), (1, "false_alarm"), (2, "defect"), (3, "defect")]
    with database.begin() as session:
        for number, label in given:
            reviews.submit(session, LabelSubmission(uuid4(), hourly_frames[number].frame_id, label), "mia", NOON)
        found = search.labels_of_passed_above(session, station_id, 0.2, NOON, until)
        assert found == {"defect": 2, "false_alarm": 1}  # the fourth was flagged
        assert not search.labels_of_passed_above(session, station_id, 0.21, NOON, until)
