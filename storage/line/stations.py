"""Stations: one camera position each, with its settings."""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from typing import Any, Literal, get_args

from sqlalchemy import Row, Select, bindparam, select, update
from sqlalchemy.orm import Session

from storage.database.rows import insert_into, row_of
from storage.database.tables import StationRow
from storage.errors import InvalidChange, NotFound

WithoutNormals = Literal["wait", "no_reference"]
FramingKind = Literal["letterbox", "stretch", "centre_crop", "tiles_2", "tiles_3"]
BitDepth = Literal["auto", "8", "10", "12", "14", "16"]
Autopilot = Literal["off", "propose", "act"]

MAX_SAMPLE_ONE_IN = 1_000_000
MAX_REVIEWS_PER_SHIFT = 100_000
_NAME = re.compile(r"[a-z0-9._-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class StationSettings:
    """What a person configures; `false_reject_rate` is a share in (0, 1).

    A station without frames for `stale_after_s` seconds is shown as silent. Of the frames that pass, one in
    `sample_one_in` is drawn at random for review; 0 draws none. At the default, half as many of them are reviewed as
    good parts are flagged by a threshold for 1 % false rejects.

    `bit_depth` is the number of bits that the camera fills of samples in words of 16; auto is the smallest that holds
    the largest sample of the station's normals. Files that state their depth, and those of 8 bits, don't need it.

    `reviews_per_shift` is how many frames people have time to review in eight hours: the review limit is chosen so that
    about as many are flagged or borderline; at 0 no frame is borderline.

    With the `autopilot` on ``propose`` a scorer proposes normals from the stream as drafts; on ``act`` it activates
    them where no guard rail objects (`scorer.learning.activation_guard`).

    With `learn_defects` frames are scored with a head that is fitted to the frames that people called defects, where
    that catches no fewer of them (`scorer.learning.head_gate`).
    """

    object_name: str = "part"
    without_normals: WithoutNormals = "wait"
    framing: FramingKind = "letterbox"
    false_reject_rate: float = 0.01
    stale_after_s: float = 60.0
    sample_one_in: int = 200
    bit_depth: BitDepth = "auto"
    reviews_per_shift: int = 40
    autopilot: Autopilot = "propose"
    learn_defects: bool = True


_SETTINGS = tuple(field.name for field in fields(StationSettings))


@dataclass(frozen=True, slots=True)
class Station:
    """A station with its settings, and the version of its mask in force; 0 without one."""

    id: int
    name: str
    settings: StationSettings
    created_at: datetime
    mask_version: int = 0


def add(session: Session, name: str, settings: StationSettings, at: datetime) -> Station:
    """Create a station.

    Raises `InvalidChange` for invalid settings and for a name that is taken or is not 1 to 64 of a-z, 0-9, dash, dot
    and underscore.
    """
    if not _NAME.fullmatch(name) or not name.strip("."):
        raise InvalidChange(f"{name[:80]!r} can't name a station: use 1 to 64 of a-z, 0-9, dash, dot and underscore.")
    _require_valid(settings)
    statement = insert_into(session, StationRow).values(name=name, created_at=at, **row_of(settings))
    station_id = session.scalar(statement.on_conflict_do_nothing().returning(StationRow.id))
    if station_id is None:
        raise InvalidChange(f"A station named {name} exists already: choose another name, or edit that one.")
    return Station(station_id, name, settings, at)


def edit(session: Session, name: str, settings: StationSettings) -> Station:
    """Replace the station's settings; raises `NotFound`, `InvalidChange` for invalid ones."""
    _require_valid(settings)
    station = get(session, name)
    session.execute(update(StationRow).where(StationRow.id == station.id).values(**row_of(settings)))
    return Station(station.id, name, settings, station.created_at, station.mask_version)


def get(session: Session, name: str) -> Station:
    """Return the station; raises `NotFound`, naming the existing stations."""
    row = session.scalar(select(StationRow).where(StationRow.name == name))
    if row is None:
        names = session.scalars(select(StationRow.name).order_by(StationRow.name)).all()
        existing = f"use one of {', '.join(names)}" if names else "add it with `andon station add`"
        raise NotFound(f"There is no station {name[:80]!r}: {existing}.")
    return _station(row)


def by_id(session: Session, station_id: int) -> Station:
    """Return the station; raises `NotFound`."""
    row = session.get(StationRow, station_id)
    if row is None:
        raise NotFound(f"There is no station with id {station_id}.")
    return _station(row)


def lock(session: Session, station_id: int) -> None:
    """Lock the station's row until the transaction ends, so that changes of its recipe come one by one.

    Raises `NotFound`.
    """
    locked = session.scalar(select(StationRow.id).where(StationRow.id == station_id).with_for_update())
    if locked is None:
        raise NotFound(f"There is no station with id {station_id}.")


def sample_rates(session: Session, station_ids: Collection[int]) -> Mapping[int, int]:
    """Return by station id of how many passed frames one is drawn for review."""
    query = select(StationRow.id, StationRow.sample_one_in).where(StationRow.id.in_(station_ids))
    return {row[0]: row[1] for row in session.execute(query)}


def name_of(session: Session, station_id: int) -> str:
    """Return the name; raises `NotFound`."""
    name = session.scalar(select(StationRow.name).where(StationRow.id == station_id))
    if name is None:
        raise NotFound(f"There is no station with id {station_id}.")
    return name


def list_all(session: Session) -> list[Station]:
    """Return all stations by name."""
    return sorted((_station(row) for row in session.scalars(select(StationRow))), key=lambda station: station.name)


def by_names(session: Session, names: Collection[str]) -> list[Station]:
    """Return those of these stations that exist, by name."""
    return [_station(row) for row in session.execute(_by_names(), {"names": list(names)})]


@cache
def _by_names() -> Select[Any]:
    """Build the statement once, of plain rows: it is executed for every batch of frames."""
    has_name = StationRow.name.in_(bindparam("names", expanding=True))
    return select(*StationRow.__table__.columns).where(has_name).order_by(StationRow.name)


def names_of(session: Session, station_ids: Collection[int]) -> Mapping[int, str]:
    """Return the names by station id; unknown ids are left out."""
    rows = session.execute(select(StationRow.id, StationRow.name).where(StationRow.id.in_(station_ids)))
    return {row.id: row.name for row in rows}


def _station(row: StationRow | Row[Any]) -> Station:
    settings = StationSettings(**{name: getattr(row, name) for name in _SETTINGS})
    return Station(row.id, row.name, settings, row.created_at, row.mask_version)


def _require_valid(settings: StationSettings) -> None:
    if not 1 <= len(settings.object_name.strip()) <= 120:
        raise InvalidChange("A station's object name has 1 to 120 characters, such as 'solar cell'.")
    if settings.without_normals not in get_args(WithoutNormals):
        raise InvalidChange(f"without_normals is one of {', '.join(get_args(WithoutNormals))}.")
    if settings.framing not in get_args(FramingKind):
        raise InvalidChange(f"framing is one of {', '.join(get_args(FramingKind))}.")
    if not 0 < settings.false_reject_rate < 1:
        raise InvalidChange("false_reject_rate is a share between 0 and 1, such as 0.01.")
    if not (settings.stale_after_s > 0 and math.isfinite(settings.stale_after_s)):
        raise InvalidChange("stale_after_s is a number of seconds above 0, such as 60.")
    if not 0 <= settings.sample_one_in <= MAX_SAMPLE_ONE_IN:
        raise InvalidChange("sample_one_in is a whole number such as 200, for one passed frame in 200; 0 draws none.")
    if not 0 <= settings.reviews_per_shift <= MAX_REVIEWS_PER_SHIFT:
        raise InvalidChange("reviews_per_shift is a whole number such as 40; at 0 no frame is borderline.")
    if settings.autopilot not in get_args(Autopilot):
        raise InvalidChange(f"autopilot is one of {', '.join(get_args(Autopilot))}.")
    if settings.bit_depth not in get_args(BitDepth):
        raise InvalidChange(f"bit_depth is one of {', '.join(get_args(BitDepth))}.")
