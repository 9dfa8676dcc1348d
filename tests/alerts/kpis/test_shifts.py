"""Shifts and days are cut in the plant's own time, also when the clocks change."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from alerts.kpis.shifts import parse_plant_calendar

BERLIN = parse_plant_calendar("Europe/Berlin", "early=06:00,late=14:00,night=22:00")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_shift_is_named_by_the_day_on_which_it_starts() -> None:
    shift = BERLIN.shift_at(utc("2026-01-15T01:30"))  # 02:30 in Berlin
    assert shift.name == "2026-01-14 night"
    assert (shift.since, shift.until) == (utc("2026-01-14T21:00"), utc("2026-01-15T05:00"))


def test_the_end_of_a_shift_belongs_to_the_next_one() -> None:
    assert BERLIN.shift_at(utc("2026-01-15T13:00")).name == "2026-01-15 late"
    assert BERLIN.shift_at(utc("2026-01-15T12:59")).name == "2026-01-15 early"


def test_the_night_shift_has_nine_hours_when_daylight_saving_time_ends() -> None:
    night = BERLIN.shift_at(utc("2026-10-25T00:30"))
    assert night.until - night.since == timedelta(hours=9)


def test_shifts_cover_a_time_range_without_gap_or_overlap() -> None:
    since, until = utc("2026-03-27T10:17"), utc("2026-03-31T03:03")  # over the change to summer time
    for periods in (BERLIN.shifts_between(since, until), BERLIN.days_between(since, until)):
        assert (periods[0].since, periods[-1].until) == (since, until)
        assert all(one.until == next_.since for one, next_ in pairwise(periods))
    assert [day.name for day in BERLIN.days_between(since, until)] == [f"2026-03-{day}" for day in range(27, 32)]


def test_one_shift_may_last_a_whole_day() -> None:
    assert parse_plant_calendar("UTC", "day=00:00").shift_at(utc("2026-01-15T23:59")).name == "2026-01-15 day"


@pytest.mark.parametrize(
    ("zone", "shifts", "named"),
    [
        ("Atlantis/Capital", "day=06:00", "Atlantis/Capital"),
        ("UTC", "day", "NAME=HH:MM"),
        ("UTC", "day=25:00", "NAME=HH:MM"),
        ("UTC", "late=14:00,early=06:00", "earliest first"),
        ("UTC", "a=06:00,a=14:00", "a=14:00"),
    ],
)
def test_an_invalid_calendar_is_refused_by_name(zone: str, shifts: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        parse_plant_calendar(zone, shifts)
