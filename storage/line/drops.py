"""Drops: frames that were lost before they were read, reported by the process that counted them.

A producer reports what it lost before the bus. A scorer reports what was deleted from the bus before it was read, as
records of no station, because what is deleted can't tell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from storage.database.rows import insert_into, row_of
from storage.database.tables import DropRow
from storage.database.truncate import truncate

DELETED_UNREAD = "deleted-unread"
"""The reason of frames that were deleted from the bus before they were read."""

NO_STATION = ""
"""The station of frames that nobody can ask for theirs."""


@dataclass(frozen=True, slots=True)
class DropReport:
    """Frames of one station lost for one reason; `frames` of an `id` only grows, so a repeated report counts once."""

    id: UUID
    station: str
    reason: str
    frames: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class DropTotal:
    """The frames of a station that were lost, the first of them at `first_at`."""

    frames: int
    first_at: datetime


def record(session: Session, drops: Sequence[DropReport]) -> None:
    """Insert each report, or update the row of its id where the report counts more frames."""
    for drop in drops:
        row = row_of(drop) | {"station": truncate(drop.station, 64), "reason": truncate(drop.reason, 64)}
        statement = insert_into(session, DropRow).values(**row)
        grown = {"frames": statement.excluded.frames, "last_at": statement.excluded.last_at}
        session.execute(
            statement.on_conflict_do_update(
                index_elements=["id"], set_=grown, where=statement.excluded.frames > DropRow.frames
            )
        )


def totals_since(session: Session, at: datetime) -> Mapping[str, DropTotal]:
    """Return by station name what was lost, from reports that grew since then; other stations are left out."""
    rows = session.execute(
        select(DropRow.station, func.sum(DropRow.frames), func.min(DropRow.first_at))
        .where(DropRow.last_at >= at)
        .group_by(DropRow.station)
    )
    return {station: DropTotal(int(frames), first_at) for station, frames, first_at in rows}
