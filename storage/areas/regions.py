"""Where a frame differs: regions of the picture, as the scorer found them when it made the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

Point = tuple[float, float]
"""Distance from the left and from the top of the picture, as fractions of its width and height, 0 to 1."""

Place = Literal[
    "upper-left", "upper", "upper-right", "left", "centre", "right", "lower-left", "lower", "lower-right", "everywhere"
]
"""A ninth of the picture, or ``everywhere`` for a region that covers most of it."""

PLACES: tuple[Place, ...] = get_args(Place)
"""The ninths row by row, then ``everywhere``."""


@dataclass(frozen=True, slots=True)
class Region:
    """One connected part of the picture whose anomaly map lies above the limit that its frame exceeded.

    Attributes:
        place: Where its weight lies.
        share: Its area as a fraction of the picture's, above 0 to 1.
        box: Left, top, right and bottom of the box around it, as fractions of the picture.
        outline: Its outer contour as a closed polygon of at least three points, the first one not repeated.
    """

    place: Place
    share: float
    box: tuple[float, float, float, float]
    outline: tuple[Point, ...]


def to_json(regions: Sequence[Region]) -> list[dict[str, Any]]:
    """Return regions as JSON values, which `from_json` reads."""
    return [
        {
            "place": region.place,
            "share": region.share,
            "box": list(region.box),
            "outline": [list(point) for point in region.outline],
        }
        for region in regions
    ]


def from_json(values: Sequence[Mapping[str, Any]]) -> tuple[Region, ...]:
    """Return the regions that `to_json` was called with."""
    return tuple(
        Region(value["place"], value["share"], tuple(value["box"]), tuple((x, y) for x, y in value["outline"]))
        for value in values
    )
