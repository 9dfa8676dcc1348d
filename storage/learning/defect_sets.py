"""Defect sets: numbered versions of a station's labelled defects, with the head that was fitted to them.

The newest version of a (normal set, detector) says whether frames are scored with a head: it is in use, or not. A
version is never changed.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Select, bindparam, func, insert, select
from sqlalchemy.orm import Session

from storage.database.tables import DefectSetRow
from storage.database.truncate import truncate
from storage.errors import NotFound


@dataclass(frozen=True, slots=True)
class DefectSet:
    """One version of a station's defect set.

    Attributes:
        station_id: The station.
        version: Counted from 1 per station.
        normal_set_id: The normal set that its frames were compared with.
        model_id: The detector that compared them.
        scoring_model_id: The detector with this version's head; verdicts name it as their model.
        defects: The frames that people called defects.
        good_frames: How many other frames of the stream the head was fitted against.
        caught: How many of the defects the head's scores flag, each as if the head had not learnt from it.
        caught_without: How many of them the detector's own scores flag.
        in_use: Whether frames are scored with the head while this is the newest version.
        reason: Why it is in use, or not, in words.
        made_at: When it was fitted.
        made_by: The worker that fitted it.
    """

    station_id: int
    version: int
    normal_set_id: int
    model_id: str
    scoring_model_id: str
    defects: tuple[UUID, ...]
    good_frames: int
    caught: int
    caught_without: int
    in_use: bool
    reason: str
    made_at: datetime
    made_by: str


@dataclass(frozen=True, slots=True)
class HeadInUse:
    """A defect set by whose head frames are scored, without the head itself, which `head` reads."""

    id: int
    version: int
    scoring_model_id: str


HeadsInUse = Mapping[tuple[int, str], HeadInUse]
"""By (normal set id, model id of the detector)."""


def record(session: Session, defect_set: DefectSet, head: bytes) -> DefectSet:
    """Store a defect set as the station's next version, whatever its own says, and return it with that.

    The caller holds the station's lock. `head` is empty where there are no defects any more.
    """
    newest = session.scalar(
        select(func.max(DefectSetRow.version)).where(DefectSetRow.station_id == defect_set.station_id)
    )
    values = {name: getattr(defect_set, name) for name in _FIELDS}
    values |= {
        "version": (newest or 0) + 1,
        "defects": [str(frame_id) for frame_id in defect_set.defects],
        "reason": truncate(defect_set.reason, 500),
        "made_by": truncate(defect_set.made_by, 120),
        "head": head,
    }
    session.execute(insert(DefectSetRow).values(**values))
    return find_newest(session, defect_set.normal_set_id, defect_set.model_id) or defect_set


def find_newest(session: Session, normal_set_id: int, model_id: str) -> DefectSet | None:
    """Return the newest version for a normal set and a detector, in use or not; None without one."""
    of_key = _select().where(DefectSetRow.normal_set_id == normal_set_id, DefectSetRow.model_id == model_id)
    row = session.execute(of_key.limit(1)).first()
    return None if row is None else _defect_set(row)


def find_head(session: Session, station_id: int, scoring_model_id: str) -> HeadInUse | None:
    """Return the head that a model id stands for, whether it is in use or not; None where it is no head's."""
    of_model = DefectSetRow.station_id == station_id, DefectSetRow.scoring_model_id == scoring_model_id
    row = session.execute(select(DefectSetRow.id, DefectSetRow.version).where(*of_model).limit(1)).first()
    return None if row is None else HeadInUse(row.id, row.version, scoring_model_id)


def find_by_scoring_model(session: Session, station_id: int, scoring_model_id: str) -> DefectSet | None:
    """Return the defect set that a verdict was made with, by the verdict's model id; None if it was made without."""
    of_model = DefectSetRow.scoring_model_id == scoring_model_id
    row = session.execute(_select().where(DefectSetRow.station_id == station_id, of_model).limit(1)).first()
    return None if row is None else _defect_set(row)


def history(session: Session, station_id: int, limit: int = 100) -> list[DefectSet]:
    """Return the station's versions, newest first."""
    rows = session.execute(_select().where(DefectSetRow.station_id == station_id).limit(limit))
    return [_defect_set(row) for row in rows]


def in_use(session: Session, normal_set_ids: Collection[int]) -> HeadsInUse:
    """Return the defect sets that frames of these normal sets are scored with."""
    rows = session.execute(_in_use(), {"sets": list(normal_set_ids)})
    return {
        (row.normal_set_id, row.model_id): HeadInUse(row.id, row.version, row.scoring_model_id)
        for row in rows
        if row.in_use
    }


def head(session: Session, defect_set_id: int) -> bytes:
    """Return the head of a defect set as it was recorded; raises `NotFound`."""
    found = session.scalar(select(DefectSetRow.head).where(DefectSetRow.id == defect_set_id))
    if found is None:
        raise NotFound(f"There is no defect set with the id {defect_set_id} any more.")
    return found


@cache
def _in_use() -> Select[Any]:
    """Build the statement once: it is executed for every batch of frames."""
    newest = (
        select(func.max(DefectSetRow.id))
        .where(DefectSetRow.normal_set_id.in_(bindparam("sets", expanding=True)))
        .group_by(DefectSetRow.normal_set_id, DefectSetRow.model_id)
    )
    columns: tuple[Any, ...] = (
        DefectSetRow.id,
        DefectSetRow.version,
        DefectSetRow.normal_set_id,
        DefectSetRow.model_id,
        DefectSetRow.scoring_model_id,
        DefectSetRow.in_use,
    )
    return select(*columns).where(DefectSetRow.id.in_(newest))


def _select() -> Select[Any]:
    return select(*(getattr(DefectSetRow, name) for name in _FIELDS)).order_by(DefectSetRow.id.desc())


def _defect_set(row: Any) -> DefectSet:
    values: dict[str, Any] = dict(row._mapping)
    frames: Sequence[str] = values["defects"]
    return DefectSet(**(values | {"defects": tuple(UUID(frame_id) for frame_id in frames)}))


_FIELDS = tuple(DefectSet.__dataclass_fields__)
