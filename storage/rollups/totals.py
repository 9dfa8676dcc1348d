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
    """Numbers of frames; `frames` are all of them, those without a reference were neither flagged nor passed."""

    frames: int = 0
    flagged: int = 0
    no_reference: int = 0

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(self.frames + other.frames, self.flagged + other.flagged, self.no_reference + other.no_reference)


def by_station(session: Session, since: datetime, until: datetime) -> Mapping[int, Totals]:
    """Return the totals by station id of frames captured in [since, until); stations without frames are left out."""
    cells = verdict_rollups.rollup_rows(since, until)
    rows = session.execute(
        select(
            cells.c.station_id, func.sum(cells.c.frames), func.sum(cells.c.flagged), func.sum(cells.c.no_reference)
        ).group_by(cells.c.station_id)
    )
    return {
        station_id: Totals(int(frames), int(flagged), int(no_reference))
        for station_id, frames, flagged, no_reference in rows
    }


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
    """Return frames, flagged and without reference of rollups or verdicts, their station and time, and a condition."""
    if width is None:
        no_reference, flagged = VerdictRow.decision == "no_reference", VerdictRow.decision == "flag"
        counted = [func.count(), *(func.sum(case((one, 1), else_=0)) for one in (flagged, no_reference))]
        return counted, VerdictRow.station_id, VerdictRow.captured_at, true()
    sums = [
        func.sum(column)
        for column in (VerdictRollupRow.frames, VerdictRollupRow.flagged, VerdictRollupRow.no_reference)
    ]
    return (
        sums,
        VerdictRollupRow.station_id,
        VerdictRollupRow.started_at,
        VerdictRollupRow.width_s == int(width.total_seconds()),
    )
