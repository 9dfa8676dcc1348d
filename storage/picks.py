"""Picks: frames that somebody wants in a station's next normal set, gathered until a draft is made of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from storage.rows import columns, insert_into
from storage.tables import PickedFrameRow
from storage.text import fit


@dataclass(frozen=True, slots=True)
class Pick:
    """One picked image; `name` says where it came from, for people."""

    station_id: int
    image_reference: str
    name: str
    picked_by: str
    picked_at: datetime


def add(session: Session, pick: Pick) -> bool:
    """Pick it; False where it was picked already."""
    row = {
        "station_id": pick.station_id,
        "image_reference": pick.image_reference,
        "name": fit(pick.name, 255),
        "picked_by": fit(pick.picked_by, 64),
        "picked_at": pick.picked_at,
    }
    statement = insert_into(session, PickedFrameRow).values(**row).on_conflict_do_nothing()
    return session.scalar(statement.returning(PickedFrameRow.station_id)) is not None


def remove(session: Session, station_id: int, image_references: Sequence[str]) -> int:
    """Drop picks; return how many there were."""
    statement = delete(PickedFrameRow).where(
        PickedFrameRow.station_id == station_id, PickedFrameRow.image_reference.in_(list(image_references))
    )
    return len(session.scalars(statement.returning(PickedFrameRow.image_reference)).all())


def of_station(session: Session, station_id: int) -> list[Pick]:
    """In the order in which they were picked."""
    query = select(*columns(PickedFrameRow, Pick)).where(PickedFrameRow.station_id == station_id)
    rows = session.execute(query.order_by(PickedFrameRow.picked_at, PickedFrameRow.image_reference))
    return [Pick(*row) for row in rows]
