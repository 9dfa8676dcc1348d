"""Totals: the number of frames of each station in a time range, read from rollups."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, case, func, select, true
from sqlalchemy.orm import Session

from storage.database.sql_functions import periods_table
from storage.database.tables import StationRow, VerdictRollupRow, VerdictRow
from storage.rollups import verdict_rollups


@dataclass(frozen=True, slots=True)
class Totals:
    """Numbers of frames; `frames` are all of them.

    Those without a reference and the bad pictures were neither flagged nor passed. `borderline` frames passed, and went
    to review.
    """

    frames: int = 0
    flagged: int = 0
    no_reference: int = 0
    bad_pictures: int = 0
    borderline: int = 0

    @property
    def scored(self) -> int:
        """The frames that passed or were flagged."""
        return self.frames - self.no_reference - self.bad_pictures

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(
            self.frames + other.frames,
            self.flagged + other.flagged,
            self.no_reference + other.no_reference,
            self.bad_pictures + other.bad_pictures,
            self.borderline + other.borderline,
        )


def by_station(session: Session, since: datetime | None = None, until: datetime | None = None) -> Mapping[int, Totals]:
    """Return the totals by station id of frames captured in [since, until); stations without frames are left out."""
    cells = verdict_rollups.rollup_rows(since, until)
    sums = (func.sum(cells.c[name]) for name in verdict_rollups.COUNTS)
    rows = session.execute(select(cells.c.station_id, *sums).group_by(cells.c.station_id))
    return {station_id: Totals(*map(int, counts)) for station_id, *counts in rows}


def by_period(session: Session, periods: Sequence[tuple[datetime, datetime]]) -> list[Mapping[int, Totals]]:
    """Return `by_station` for each period [since, until) in the order given, with one query per width of rollups."""
    found: list[dict[int, Totals]] = [{} for _ in periods]
    for width, spans in _by_width(periods).items():
        during = periods_table(spans, "during")
        sums, station, at, condition = _sums(width)
        # One subquery per station and period: with a join PostgreSQL reads every rollup for every period.
        of_each = [
            select(one).where(condition, station == StationRow.id, at >= during.c.since, at < during.c.until)
            for one in sums
        ]
        columns = [func.coalesce(one.correlate(StationRow, during).scalar_subquery(), 0) for one in of_each]
        each = select(during.c.number, StationRow.id, *columns).select_from(during).join(StationRow, true())
        for number, station_id, frames, *others in session.execute(each):
            if frames:
                totals = found[number].get(station_id, Totals())
                found[number][station_id] = totals + Totals(int(frames), *map(int, others))
    return list(found)


def _by_width(
    periods: Sequence[tuple[datetime, datetime]],
) -> Mapping[timedelta | None, list[tuple[int, datetime, datetime]]]:
    """Return the periods' range parts by width, each with its period's number."""
    found: dict[timedelta | None, list[tuple[int, datetime, datetime]]] = defaultdict(list)
    for number, (since, until) in enumerate(periods):
        for part in verdict_rollups.split_range(since, until):
            assert part.since is not None
            assert part.until is not None
            found[part.width].append((number, part.since, part.until))
    return found


def _sums(width: timedelta | None) -> tuple[Sequence[ColumnElement[Any]], Any, Any, ColumnElement[bool]]:
    """Return the counts of `Totals` in rollups or verdicts, their station and time, and a condition."""
    if width is None:
        decisions = ("flag", "no_reference", "bad_picture")
        counted = [func.count(), *(func.sum(case((VerdictRow.decision == one, 1), else_=0)) for one in decisions)]
        counted.append(func.sum(case((verdict_rollups.is_borderline(), 1), else_=0)))
        return counted, VerdictRow.station_id, VerdictRow.captured_at, true()
    sums = [func.sum(getattr(VerdictRollupRow, name)) for name in verdict_rollups.COUNTS]
    return (
        sums,
        VerdictRollupRow.station_id,
        VerdictRollupRow.started_at,
        VerdictRollupRow.width_s == int(width.total_seconds()),
    )
