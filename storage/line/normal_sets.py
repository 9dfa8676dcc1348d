"""Normal sets: numbered, immutable versions of a station's good images (draft → active → retired)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from storage.database.tables import NormalImageRow, NormalSetRow, StationRow
from storage.database.truncate import truncate
from storage.errors import InvalidChange, NotFound
from storage.line import stations
from storage.review import labels

MIN_IMAGES = 2
MAX_IMAGES = 64

State = Literal["draft", "active", "retired"]


@dataclass(frozen=True, slots=True)
class NormalImage:
    """A good image in the image store; `name` describes its origin to people."""

    reference: str
    name: str


@dataclass(frozen=True, slots=True)
class NormalSet:
    """One version of a station's normal set.

    `bit_depth` is the number of bits that its images fill of samples in words of 16, 8 where none has such samples;
    None until it is learnt.
    """

    id: int
    station_id: int
    version: int
    state: State
    note: str
    images: tuple[NormalImage, ...]
    created_at: datetime
    activated_at: datetime | None
    retired_at: datetime | None
    bit_depth: int | None = None


@dataclass(frozen=True, slots=True)
class NormalSetDiff:
    """The images that were added, removed and unchanged between two sets, each in its own set's order."""

    added: tuple[NormalImage, ...]
    removed: tuple[NormalImage, ...]
    unchanged: tuple[NormalImage, ...]


def diff(before: NormalSet | None, after: NormalSet) -> NormalSetDiff:
    """Compare two sets by the content of their images; without a set before, every image is added."""
    old = before.images if before is not None else ()
    known, remaining = {image.reference for image in old}, {image.reference for image in after.images}
    return NormalSetDiff(
        added=tuple(image for image in after.images if image.reference not in known),
        removed=tuple(image for image in old if image.reference not in remaining),
        unchanged=tuple(image for image in after.images if image.reference in known),
    )


def add(
    session: Session,
    station_id: int,
    images: Sequence[NormalImage],
    note: str,
    at: datetime,
    bit_depth: int | None = None,
) -> NormalSet:
    """Create the next version as a draft; a scorer learns its bit depth where it is None.

    Raises `InvalidChange` unless there are `MIN_IMAGES` to `MAX_IMAGES` images, all differ, and none is labelled a
    defect at this station.
    """
    distinct = len({image.reference for image in images})
    if distinct != len(images):
        raise InvalidChange(
            f"{len(images) - distinct} of the images are duplicates: the images of a normal set must all differ."
        )
    if not MIN_IMAGES <= len(images) <= MAX_IMAGES:
        raise InvalidChange(
            f"A normal set has {MIN_IMAGES} to {MAX_IMAGES} images of good parts; these are {len(images)}."
        )
    stations.lock(session, station_id)
    _refuse_defects(session, station_id, images)
    last = session.scalar(select(func.max(NormalSetRow.version)).where(NormalSetRow.station_id == station_id))
    row = NormalSetRow(
        station_id=station_id,
        version=(last or 0) + 1,
        state="draft",
        note=truncate(note, 500),
        created_at=at,
        bit_depth=bit_depth,
    )
    session.add(row)
    session.flush()
    for image in images:
        session.add(
            NormalImageRow(normal_set_id=row.id, image_reference=image.reference, name=truncate(image.name, 255))
        )
    session.flush()
    return get(session, station_id, row.version)


def set_bit_depth(session: Session, normal_set_id: int, bit_depth: int) -> None:
    """Keep the bit depth that was learnt from a set's images, unless one is kept already."""
    of_set = update(NormalSetRow).where(NormalSetRow.id == normal_set_id, NormalSetRow.bit_depth.is_(None))
    session.execute(of_set.values(bit_depth=bit_depth))


def bit_depths(session: Session) -> Mapping[int, int]:
    """Return the bit depth that each station's images are read at, by station id: its setting, else the learnt one.

    Stations whose depth is not known yet are left out.
    """
    query = select(StationRow.id, StationRow.bit_depth, NormalSetRow.bit_depth.label("learnt")).outerjoin(
        NormalSetRow, (NormalSetRow.station_id == StationRow.id) & (NormalSetRow.state == "active")
    )
    known = {row.id: row.learnt if row.bit_depth == "auto" else int(row.bit_depth) for row in session.execute(query)}
    return {station_id: depth for station_id, depth in known.items() if depth is not None}


def activate(session: Session, station_id: int, version: int, at: datetime) -> NormalSet:
    """Make this version the active one and retire the one before; a retired version can be activated again.

    Raises `NotFound`.
    """
    stations.lock(session, station_id)
    chosen = get(session, station_id, version)
    if chosen.state == "active":
        return chosen
    _refuse_defects(session, station_id, chosen.images)
    of_station = update(NormalSetRow).where(NormalSetRow.station_id == station_id)
    session.execute(of_station.where(NormalSetRow.state == "active").values(state="retired", retired_at=at))
    session.execute(
        of_station.where(NormalSetRow.version == version).values(state="active", activated_at=at, retired_at=None)
    )
    return get(session, station_id, version)


def rollback(session: Session, station_id: int, at: datetime) -> NormalSet:
    """Activate the version that was active before the present one.

    Rolling back twice restores the present one. Raises `InvalidChange` where no other version was active.
    """
    stations.lock(session, station_id)
    previous = session.scalar(
        select(NormalSetRow.version)
        .where(NormalSetRow.station_id == station_id, NormalSetRow.state == "retired")
        .order_by(NormalSetRow.retired_at.desc(), NormalSetRow.id.desc())
        .limit(1)
    )
    if previous is None:
        raise InvalidChange("No other normal set was active before at this station: there is nothing to roll back to.")
    return activate(session, station_id, previous, at)


def get(session: Session, station_id: int, version: int) -> NormalSet:
    """Return this version; raises `NotFound`."""
    found = _sets(session, station_id, version=version)
    if not found:
        raise NotFound(f"This station has no normal set {version}: `andon normals list` shows the versions.")
    return found[0]


def active(session: Session, station_id: int) -> NormalSet | None:
    """Return the active version; None before the first activation."""
    found = _sets(session, station_id, state="active")
    return found[0] if found else None


def active_ids(session: Session, station_ids: Collection[int] | None = None) -> Mapping[int, int]:
    """Return the ids of active normal sets by station id; one cheap query, to notice a change."""
    query = select(NormalSetRow.station_id, NormalSetRow.id).where(NormalSetRow.state == "active")
    if station_ids is not None:
        query = query.where(NormalSetRow.station_id.in_(station_ids))
    rows = session.execute(query)
    return {row.station_id: row.id for row in rows}


def list_all(session: Session, station_id: int) -> list[NormalSet]:
    """Return the station's versions, newest first."""
    return _sets(session, station_id)


def _refuse_defects(session: Session, station_id: int, images: Sequence[NormalImage]) -> None:
    """Raise `InvalidChange` where an image was labelled a defect: it would hide all defects that look like it."""
    defects = labels.defect_images(session, station_id, [image.reference for image in images])
    names = [image.name for image in images if image.reference in defects]
    if names:
        raise InvalidChange(
            f"{names[0]} is labelled a defect and can't be a normal: leave it out, or correct its label on the page "
            "Review."
        )


def _sets(
    session: Session, station_id: int, *, version: int | None = None, state: State | None = None
) -> list[NormalSet]:
    query = select(*NormalSetRow.__table__.columns).where(NormalSetRow.station_id == station_id)
    if version is not None:
        query = query.where(NormalSetRow.version == version)
    if state is not None:
        query = query.where(NormalSetRow.state == state)
    rows = session.execute(query.order_by(NormalSetRow.version.desc())).all()
    images: dict[int, list[NormalImage]] = {row.id: [] for row in rows}
    images_of_sets = select(NormalImageRow.normal_set_id, NormalImageRow.image_reference, NormalImageRow.name)
    for set_id, reference, name in session.execute(
        images_of_sets.where(NormalImageRow.normal_set_id.in_(images)).order_by(NormalImageRow.id)
    ):
        images[set_id].append(NormalImage(reference, name))
    return [
        NormalSet(
            row.id,
            row.station_id,
            row.version,
            cast(State, row.state),
            row.note,
            tuple(images[row.id]),
            row.created_at,
            row.activated_at,
            row.retired_at,
            row.bit_depth,
        )
        for row in rows
    ]
