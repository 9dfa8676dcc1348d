"""Mutes: a station under maintenance sends no notifications until a time, or until the mute is ended."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from storage.database.rows import columns_of
from storage.database.tables import MuteRow
from storage.database.truncate import truncate
from storage.errors import InvalidChange


@dataclass(frozen=True, slots=True)
class Mute:
    """In force from `muted_at` up to `until_at`, or up to `ended_at` when somebody ended it earlier."""

    id: int
    station_id: int
    until_at: datetime
    reason: str
    muted_by: str
    muted_at: datetime
    ended_by: str | None
    ended_at: datetime | None


def mute(session: Session, station_id: int, until: datetime, reason: str, by: str, at: datetime) -> Mute:
    """Mute the station, in place of a mute in force; raises `InvalidChange` for a time in the past."""
    if until <= at:
        raise InvalidChange("A mute ends in the future, such as in two hours.")
    unmute(session, station_id, by, at)
    row = {
        "station_id": station_id,
        "until_at": until,
        "reason": truncate(reason, 500),
        "muted_by": truncate(by, 64),
        "muted_at": at,
    }
    made = session.execute(insert(MuteRow).values(**row).returning(*_COLUMNS)).one()
    return Mute(*made)


def unmute(session: Session, station_id: int, by: str, at: datetime) -> Mute | None:
    """End the mute in force and return it as it was; None where none is in force."""
    before = current(session, station_id, at)
    session.execute(
        update(MuteRow)
        .where(MuteRow.station_id == station_id, MuteRow.ended_at.is_(None), MuteRow.until_at > at)
        .values(ended_by=truncate(by, 64), ended_at=at)
    )
    return before


def current(session: Session, station_id: int, at: datetime) -> Mute | None:
    """Return the mute in force at `at`; None without one."""
    return in_force(session, at).get(station_id)


def in_force(session: Session, at: datetime) -> dict[int, Mute]:
    """Return the mutes in force at `at` by station id."""
    rows = session.execute(
        select(*_COLUMNS)
        .where(MuteRow.muted_at <= at, MuteRow.until_at > at, MuteRow.ended_at.is_(None))
        .order_by(MuteRow.id)
    )
    return {row.station_id: Mute(*row) for row in rows}


def history(session: Session, station_id: int, limit: int = 100) -> list[Mute]:
    """Return mutes, newest first."""
    query = select(*_COLUMNS).where(MuteRow.station_id == station_id).order_by(MuteRow.id.desc()).limit(limit)
    return [Mute(*row) for row in session.execute(query)]


_COLUMNS = columns_of(MuteRow, Mute)
