"""Totals: how many frames each station saw in a time, read from tallies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from storage import tallies


@dataclass(frozen=True, slots=True)
class Totals:
    """`frames` are all; those without a reference were neither flagged nor passed."""

    frames: int = 0
    flagged: int = 0
    no_reference: int = 0


def by_station(session: Session, since: datetime, until: datetime) -> Mapping[int, Totals]:
    """Of frames captured at `since` or later and before `until`; stations that saw none are left out."""
    cells = tallies.cells(since, until)
    rows = session.execute(
        select(
            cells.c.station_id, func.sum(cells.c.frames), func.sum(cells.c.flagged), func.sum(cells.c.no_reference)
        ).group_by(cells.c.station_id)
    )
    return {station_id: Totals(int(frames), int(flagged), int(bare)) for station_id, frames, flagged, bare in rows}


def by_period(session: Session, periods: Sequence[tuple[datetime, datetime]]) -> list[Mapping[int, Totals]]:
    """As `by_station`, for each of the periods [since, until) in their order; one query for all of them."""
    cells = tallies.cells_of(periods)
    rows = session.execute(
        select(
            cells.c.number,
            cells.c.station_id,
            func.sum(cells.c.frames),
            func.sum(cells.c.flagged),
            func.sum(cells.c.no_reference),
        ).group_by(cells.c.number, cells.c.station_id)
    )
    found: list[dict[int, Totals]] = [{} for _ in periods]
    for number, station_id, frames, flagged, bare in rows:
        found[number][station_id] = Totals(int(frames), int(flagged), int(bare))
    return list(found)
