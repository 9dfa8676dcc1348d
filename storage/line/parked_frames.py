"""Parked frames: they wait for their station's first active normal set, and become verdicts then."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from storage.database.rows import columns_of, insert_new, row_of
from storage.database.tables import NormalSetRow, ParkedFrameRow, StationRow, VerdictRow
from storage.database.truncate import truncate, truncate_or_none


@dataclass(frozen=True, slots=True)
class ParkedFrame:
    """A frame without a verdict yet; its image is in the image store."""

    frame_id: UUID
    station_id: int
    captured_at: datetime
    published_at: datetime
    parked_at: datetime
    image_reference: str
    content_type: str
    part_id: str | None
    truth: str | None
    topic: str
    partition: int
    offset: int
    stamped_at: datetime | None = None  # the source's time of capture where it can't be true


def park(session: Session, frames: Sequence[ParkedFrame]) -> set[UUID]:
    """Park frames, leaving out those that are parked or have a verdict; return the ids of the frames that are new."""
    frame_ids = [frame.frame_id for frame in frames]
    decided = set(session.scalars(select(VerdictRow.frame_id).where(VerdictRow.frame_id.in_(frame_ids))))
    rows = [_row(frame) for frame in frames if frame.frame_id not in decided]
    return insert_new(session, ParkedFrameRow, rows, "frame_id")


def stations_ready(session: Session) -> list[int]:
    """Return the ids, in order, of stations that have parked frames and an active normal set."""
    waiting = select(ParkedFrameRow.id).where(ParkedFrameRow.station_id == StationRow.id).exists()
    active = select(NormalSetRow.id).where(NormalSetRow.station_id == StationRow.id, NormalSetRow.state == "active")
    return list(session.scalars(select(StationRow.id).where(active.exists(), waiting).order_by(StationRow.id)))


def claim(session: Session, station_id: int, limit: int) -> list[ParkedFrame]:
    """Return the oldest parked frames, locked until the transaction ends.

    PostgreSQL skips frames that another worker has locked.
    """
    query = (
        select(*columns_of(ParkedFrameRow, ParkedFrame))
        .where(ParkedFrameRow.station_id == station_id)
        .order_by(ParkedFrameRow.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [ParkedFrame(*row) for row in session.execute(query)]


def recent(session: Session, station_id: int, limit: int) -> list[ParkedFrame]:
    """Return the newest parked frames, newest first."""
    query = select(*columns_of(ParkedFrameRow, ParkedFrame)).where(ParkedFrameRow.station_id == station_id)
    return [ParkedFrame(*row) for row in session.execute(query.order_by(ParkedFrameRow.id.desc()).limit(limit))]


def release(session: Session, frame_ids: Sequence[UUID]) -> None:
    """Delete frames that became verdicts or dead letters, in the transaction that writes those."""
    session.execute(delete(ParkedFrameRow).where(ParkedFrameRow.frame_id.in_(list(frame_ids))))


def count(session: Session, station_id: int | None = None) -> int:
    """Return the number of parked frames of one station or of all."""
    query = select(func.count()).select_from(ParkedFrameRow)
    if station_id is not None:
        query = query.where(ParkedFrameRow.station_id == station_id)
    return session.scalar(query) or 0


def _row(frame: ParkedFrame) -> dict[str, Any]:
    return row_of(frame) | {
        "part_id": truncate_or_none(frame.part_id, 255),
        "truth": truncate_or_none(frame.truth, 120),
        "content_type": truncate(frame.content_type, 40),
    }
