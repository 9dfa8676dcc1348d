"""The search for frames, on both databases."""

from dataclasses import replace
from datetime import timedelta

import pytest

from storage.database.engine import Database
from storage.line import search, verdicts
from storage.line.verdicts import Verdict
from tests.storage.examples import NOON, a_station, a_verdict, an_active_set

HOUR = timedelta(hours=1)


@pytest.fixture
def hours(database: Database) -> list[Verdict]:
    """Ten frames of one part, one per hour, oldest first; the fourth and the seventh are flagged."""
    with database.begin() as session:
        here = an_active_set(session, a_station(session, "s1"))
        there = an_active_set(session, a_station(session, "s2"))
        made = [
            replace(
                a_verdict(
                    here,
                    at=NOON + hour * HOUR,
                    decision="flag" if hour in (3, 6) else "pass",
                    score=0.7 if hour in (3, 6) else 0.2,
                ),
                part_id="P-1",
            )
            for hour in range(10)
        ]
        elsewhere = replace(a_verdict(there, at=NOON + 2 * HOUR, decision="flag", score=0.7), part_id="P-1")
        verdicts.record(session, [*made, elsewhere])
    return made


def test_a_part_s_frames_are_found_within_the_time_that_is_named(database: Database, hours: list[Verdict]) -> None:
    station = hours[0].station_id
    with database.read() as session:
        found = search.by_part(session, station, "P-1", NOON + HOUR, NOON + 4 * HOUR)
        newest = search.by_part(session, station, "P-1", NOON, NOON + 10 * HOUR, limit=1)
        assert search.by_part(session, station, "P-2", NOON, NOON + 10 * HOUR) == []
    assert found == hours[3:0:-1]
    assert newest == [hours[9]]


def test_frames_around_a_moment_are_those_before_and_after_it(database: Database, hours: list[Verdict]) -> None:
    with database.read() as session:
        found = search.around(session, hours[0].station_id, NOON + 4.5 * HOUR, before=2, after=1)
    assert found == [hours[5], hours[4], hours[3]]


def test_the_flagged_frames_nearest_in_time_come_nearest_first(database: Database, hours: list[Verdict]) -> None:
    with database.read() as session:
        both = search.nearest_flagged(session, hours[0].station_id, NOON + 5 * HOUR)
        one = search.nearest_flagged(session, hours[0].station_id, NOON + 4 * HOUR, limit=1)
    assert both == [hours[6], hours[3]]
    assert one == [hours[3]]
