"""The calendar of a plant: its time zone, and the shifts that its days are divided into."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_SHIFT = re.compile(r"([^=,]{1,40})=([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Shift:
    """A shift: its name and the local time at which it begins; it ends when the next one begins."""

    name: str
    begins: time


@dataclass(frozen=True, slots=True)
class CalendarPeriod:
    """A named period of time, from `since` up to but not at `until`, both in UTC."""

    name: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class PlantCalendar:
    """The time zone of a plant and its shifts, in order of their beginnings."""

    zone: ZoneInfo
    shifts: tuple[Shift, ...]

    def shifts_between(self, since: datetime, until: datetime) -> list[CalendarPeriod]:
        """Return every shift that overlaps [since, until), cut to it, oldest first, named by the day it begins on."""
        day = since.astimezone(self.zone).date() - timedelta(days=1)
        borders: list[tuple[datetime, str]] = []
        while (noon := datetime.combine(day, time(12), self.zone)) < until.astimezone(self.zone) + timedelta(days=2):
            borders += [(self._moment(noon.date(), one.begins), f"{day} {one.name}") for one in self.shifts]
            day += timedelta(days=1)
        return _cut(borders, since, until)

    def days_between(self, since: datetime, until: datetime) -> list[CalendarPeriod]:
        """Return every local day that overlaps [since, until), cut to it, oldest first."""
        day = since.astimezone(self.zone).date()
        borders = []
        while (begins := self._moment(day, time(0))) < until:
            borders.append((begins, str(day)))
            day += timedelta(days=1)
        return _cut([*borders, (self._moment(day, time(0)), str(day))], since, until)

    def shift_at(self, moment: datetime) -> CalendarPeriod:
        """Return the whole shift that a time is in."""
        around = self.shifts_between(moment - timedelta(days=2), moment + timedelta(days=2))
        return next(period for period in around if period.since <= moment < period.until)

    def _moment(self, day: date, clock: time) -> datetime:
        return datetime.combine(day, clock, self.zone).astimezone(UTC)


def parse_plant_calendar(zone: str, shifts: str) -> PlantCalendar:
    """Parse a plant's calendar.

    Args:
        zone: A time zone, such as ``Europe/Berlin``.
        shifts: The shifts and their beginnings, such as ``early=06:00,late=14:00,night=22:00``.

    Raises:
        ValueError: One of them can't be parsed; the message is one sentence.
    """
    try:
        found = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{zone!r} is not a time zone; write one such as Europe/Berlin or UTC.") from None
    named = [_shift(part.strip()) for part in shifts.split(",")]
    begins = [one.begins for one in named]
    if begins != sorted(set(begins)) or len({one.name for one in named}) != len(named):
        raise ValueError(f"{shifts!r}: each shift needs its own name and beginning, earliest first.")
    return PlantCalendar(found, tuple(named))


def _shift(text: str) -> Shift:
    found = _SHIFT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a shift; write NAME=HH:MM, such as early=06:00.")
    return Shift(found[1].strip(), time(int(found[2]), int(found[3])))


def _cut(borders: Sequence[tuple[datetime, str]], since: datetime, until: datetime) -> list[CalendarPeriod]:
    periods = []
    for (begins, name), (ends, _) in pairwise(borders):
        start, end = max(begins, since), min(ends, until)
        if start < end:
            periods.append(CalendarPeriod(name, start.astimezone(UTC), end.astimezone(UTC)))
    return periods
