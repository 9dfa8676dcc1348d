"""Masks: what of a station's picture is not inspected. Versions are kept, and a verdict names its own."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from storage.areas.regions import Point
from storage.database.rows import insert_into
from storage.database.tables import StationMaskRow, StationRow
from storage.errors import InvalidChange, NotFound

Polygon = tuple[Point, ...]
"""Three or more corners; its last side leads back to the first."""

MAX_POLYGONS, MAX_CORNERS = 50, 200
MIN_INSPECTED_SHARE = 0.01
CHECK_SIDE = 400
"""A mask is checked on a square of so many pixels a side."""

SHAPE_CACHE_SIZE = 64


@dataclass(frozen=True, slots=True)
class Mask:
    """Areas of a picture, as polygons in fractions of its width and height.

    Attributes:
        ignored: Not inspected, such as a serial number that differs from part to part.
        region_of_interest: Where there is one, nothing outside it is inspected.
    """

    ignored: tuple[Polygon, ...] = ()
    region_of_interest: tuple[Polygon, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether all of the picture is inspected."""
        return not (self.ignored or self.region_of_interest)

    @lru_cache(SHAPE_CACHE_SIZE)  # noqa: B019  masks are few, and a station's pictures mostly have one shape
    def ignored_pixels(self, height: int, width: int) -> npt.NDArray[np.bool_]:
        """Return which pixels of a picture of this shape are not inspected: (height, width), cached and read-only."""
        ignored = _filled(self.ignored, height, width)
        if self.region_of_interest:
            ignored |= ~_filled(self.region_of_interest, height, width)
        ignored.flags.writeable = False
        return ignored

    def to_json(self) -> dict[str, Any]:
        """Return the mask as JSON values, which `mask_from_json` reads."""
        return {
            "ignored": [[list(point) for point in polygon] for polygon in self.ignored],
            "region_of_interest": [[list(point) for point in polygon] for polygon in self.region_of_interest],
        }


@dataclass(frozen=True, slots=True)
class MaskVersion:
    """A mask of a station; versions count from 1, and version 0 stands for no mask at all."""

    station_id: int
    version: int
    mask: Mask
    made_at: datetime
    made_by: str


def mask_from_json(value: object) -> Mask:
    """Read a mask as `Mask.to_json` writes it; both keys may be missing.

    Raises:
        InvalidChange: The value has another form, or a point lies outside the picture.
    """
    if not isinstance(value, Mapping) or not set(value) <= {"ignored", "region_of_interest"}:
        raise InvalidChange(
            "A mask is an object with the keys ignored and region_of_interest, each a list of polygons, such as "
            '{"ignored": [[[0.1, 0.1], [0.3, 0.1], [0.3, 0.2]]]}.'
        )
    return Mask(_polygons(value.get("ignored", ())), _polygons(value.get("region_of_interest", ())))


def require_inspectable(mask: Mask) -> None:
    """Raise `InvalidChange` for a mask that leaves less than `MIN_INSPECTED_SHARE` of the picture to inspect."""
    share = 1 - float(mask.ignored_pixels(CHECK_SIDE, CHECK_SIDE).mean())
    if share < MIN_INSPECTED_SHARE:
        raise InvalidChange(
            "This mask leaves nothing of the picture to inspect: ignore less of it, or make the region of interest "
            "larger."
        )


def record(session: Session, station_id: int, mask: Mask, at: datetime, by: str) -> MaskVersion:
    """Store a new version, which scorers apply from their next batch on; raises `InvalidChange`, `NotFound`.

    An empty mask is a version too: it says that everything is inspected again.
    """
    require_inspectable(mask)
    newest = session.scalar(select(func.max(StationMaskRow.version)).where(StationMaskRow.station_id == station_id))
    made = MaskVersion(station_id, (newest or 0) + 1, mask, at, by)
    row = {"station_id": station_id, "version": made.version, "areas": mask.to_json(), "made_at": at, "made_by": by}
    session.execute(insert_into(session, StationMaskRow).values(**row))
    changed = session.execute(
        update(StationRow).where(StationRow.id == station_id).values(mask_version=made.version).returning(StationRow.id)
    )
    if changed.first() is None:
        raise NotFound(f"There is no station with id {station_id}.")
    return made


def get(session: Session, station_id: int, version: int) -> MaskVersion:
    """Return a version of a station's mask; raises `NotFound`."""
    query = select(StationMaskRow).where(StationMaskRow.station_id == station_id, StationMaskRow.version == version)
    row = session.scalar(query)
    if row is None:
        raise NotFound(f"There is no version {version} of this station's mask.")
    return MaskVersion(row.station_id, row.version, mask_from_json(row.areas), row.made_at, row.made_by)


def mask_of(session: Session, station_id: int, version: int) -> Mask:
    """Return the mask of a version, an empty one for version 0; raises `NotFound`."""
    return get(session, station_id, version).mask if version else Mask()


def history(session: Session, station_id: int) -> list[MaskVersion]:
    """Return all versions of a station's mask, the newest first."""
    query = (
        select(StationMaskRow).where(StationMaskRow.station_id == station_id).order_by(StationMaskRow.version.desc())
    )
    return [
        MaskVersion(row.station_id, row.version, mask_from_json(row.areas), row.made_at, row.made_by)
        for row in session.scalars(query)
    ]


def _filled(polygons: Sequence[Polygon], height: int, width: int) -> npt.NDArray[np.bool_]:
    canvas = Image.new("1", (width, height))
    pen = ImageDraw.Draw(canvas)
    for polygon in polygons:
        pen.polygon([(x * width - 0.5, y * height - 0.5) for x, y in polygon], fill=1, outline=1)
    return np.array(canvas, dtype=np.bool_)


def _polygons(value: object) -> tuple[Polygon, ...]:
    if not isinstance(value, list | tuple) or len(value) > MAX_POLYGONS:
        raise InvalidChange(f"The areas of a mask are a list of at most {MAX_POLYGONS} polygons.")
    return tuple(_polygon(corners) for corners in value)


def _polygon(corners: object) -> Polygon:
    if not isinstance(corners, list | tuple) or not 3 <= len(corners) <= MAX_CORNERS:
        raise InvalidChange(f"A polygon is a list of 3 to {MAX_CORNERS} points.")
    return tuple(_point(corner) for corner in corners)


def _point(corner: object) -> Point:
    if isinstance(corner, list | tuple) and len(corner) == 2:
        x, y = corner
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in (x, y)):
            point = float(x), float(y)
            if all(math.isfinite(value) and 0 <= value <= 1 for value in point):
                return point
    raise InvalidChange("A point is two numbers from 0 to 1: the fractions of the picture's width and height.")
