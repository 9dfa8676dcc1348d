"""Shifts: a plant's working day cut into named pieces, in its own time zone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_SHIFT = re.compile(r"([^=,]{1,40})=([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Shift:
    """A name and the wall-clock time at which it begins; it ends when the next one begins."""

    name: str
    begins: time


@dataclass(frozen=True, slots=True)
class CalendarPeriod:
    """A stretch of time with the name of its group: from `since` up to but not at `until`, both UTC."""

    name: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class PlantCalendar:
    """Where the line stands in time; `shifts` are in order of their beginnings."""

    zone: ZoneInfo
    shifts: tuple[Shift, ...]

    def shifts_between(self, since: datetime, until: datetime) -> list[CalendarPeriod]:
        """Every shift that touches [since, until), oldest first, cut to it; named by the day on which it begins."""
        day = since.astimezone(self.zone).date() - timedelta(days=1)
        borders: list[tuple[datetime, str]] = []
        while (noon := datetime.combine(day, time(12), self.zone)) < until.astimezone(self.zone) + timedelta(days=2):
            borders += [(self._moment(noon.date(), one.begins), f"{day} {one.name}") for one in self.shifts]
            day += timedelta(days=1)
        return _cut(borders, since, until)

    def days_between(self, since: datetime, until: datetime) -> list[CalendarPeriod]:
        """Every day of the plant's calendar that touches [since, until), cut to it."""
        day = since.astimezone(self.zone).date()
        borders = []
        while (begins := self._moment(day, time(0))) < until:
            borders.append((begins, str(day)))
            day += timedelta(days=1)
        return _cut([*borders, (self._moment(day, time(0)), str(day))], since, until)

    def shift_at(self, moment: datetime) -> CalendarPeriod:
        """The whole shift that this moment lies in."""
        around = self.shifts_between(moment - timedelta(days=2), moment + timedelta(days=2))
        return next(period for period in around if period.since <= moment < period.until)

    def _moment(self, day: date, clock: time) -> datetime:
        return datetime.combine(day, clock, self.zone).astimezone(UTC)


def parse_plant_calendar(zone: str, shifts: str) -> PlantCalendar:
    """Read ``Europe/Berlin`` and ``early=06:00,late=14:00,night=22:00``; raises `ValueError` with a sentence."""
    try:
        found = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{zone!r} is no time zone: write one such as Europe/Berlin or UTC.") from None
    named = [_shift(part.strip()) for part in shifts.split(",")]
    begins = [one.begins for one in named]
    if begins != sorted(set(begins)) or len({one.name for one in named}) != len(named):
        raise ValueError(f"{shifts!r}: shifts have names and beginnings of their own, earliest first.")
    return PlantCalendar(found, tuple(named))


def _shift(text: str) -> Shift:
    found = _SHIFT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no shift: write NAME=HH:MM, such as early=06:00.")
    return Shift(found[1].strip(), time(int(found[2]), int(found[3])))


def _cut(borders: Sequence[tuple[datetime, str]], since: datetime, until: datetime) -> list[CalendarPeriod]:
    periods = []
    for (begins, name), (ends, _) in pairwise(borders):
        start, end = max(begins, since), min(ends, until)
        if start < end:
            periods.append(CalendarPeriod(name, start.astimezone(UTC), end.astimezone(UTC)))
    return periods
