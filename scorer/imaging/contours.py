"""Contours of a grid of values by marching squares, and polygons with fewer points."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Grid = npt.NDArray[np.float64]
Polygon = npt.NDArray[np.float64]
"""(N, 2) of x and y, the first point not repeated."""

MAX_POINTS = 32

Side = tuple[int, int, int]
"""A side of a square between four neighbouring cells: 0 for a horizontal, 1 for a vertical one, its row and column."""

TOP, RIGHT, BOTTOM, LEFT = range(4)

# By which corners lie above the level (8 upper left, 4 upper right, 2 lower right, 1 lower left): the sides between
# which the contour runs. Two corners that touch diagonally belong to two contours.
_SEGMENTS: Final[Mapping[int, Sequence[tuple[int, int]]]] = {
    8: [(TOP, LEFT)],
    4: [(RIGHT, TOP)],
    2: [(BOTTOM, RIGHT)],
    1: [(LEFT, BOTTOM)],
    12: [(RIGHT, LEFT)],
    6: [(BOTTOM, TOP)],
    3: [(LEFT, RIGHT)],
    9: [(TOP, BOTTOM)],
    7: [(LEFT, TOP)],
    11: [(TOP, RIGHT)],
    13: [(RIGHT, BOTTOM)],
    14: [(BOTTOM, LEFT)],
    10: [(TOP, LEFT), (BOTTOM, RIGHT)],
    5: [(RIGHT, TOP), (LEFT, BOTTOM)],
}


def outer_contour(values: Grid, level: float) -> Polygon:
    """Return the longest way around what lies above a level, interpolated between the centres of cells.

    Args:
        values: (rows, columns), with at least one value above the level; −∞ where there is none.
        level: The value of the contour.

    Returns:
        The polygon in cells: x from 0 to columns, y from 0 to rows.
    """
    outside = min(level, float(values[np.isfinite(values)].min())) - 1e6 * max(1.0, abs(level))
    framed = np.pad(np.pad(np.maximum(values, outside), 1, mode="edge"), 1, constant_values=outside)
    following = _segments(framed > level)
    rings = [_points(ring, framed, level) for ring in _rings(following)]
    largest = max(rings, key=enclosed_area)
    whole: Polygon = np.clip(largest - 1.5, 0, (values.shape[1], values.shape[0]))  # framed twice, centres at a half
    return whole


def enclosed_area(polygon: Polygon) -> float:
    """Return the area of a polygon, in the square of its points' unit."""
    x, y = polygon[:, 0], polygon[:, 1]
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def simplified(polygon: Polygon, tolerance: float) -> Polygon:
    """Return a polygon of 3 to `MAX_POINTS` of the points (Douglas and Peucker); the tolerance doubles until it is."""
    while True:
        half = int(np.linalg.norm(polygon - polygon[0], axis=1).argmax())
        there, back = polygon[: half + 1], np.concatenate([polygon[half:], polygon[:1]])
        kept = np.concatenate([_without_near_points(there, tolerance)[:-1], _without_near_points(back, tolerance)[:-1]])
        if len(kept) < 3:
            few: Polygon = polygon[np.linspace(0, len(polygon), min(len(polygon), 4), endpoint=False).astype(int)]
            return few
        if len(kept) <= MAX_POINTS:
            return kept
        tolerance *= 2


def _segments(above: npt.NDArray[np.bool_]) -> dict[Side, Side]:
    """Return for each side at which the contour enters a square the one at which it leaves it."""
    bits = above.astype(int)
    cases = 8 * bits[:-1, :-1] + 4 * bits[:-1, 1:] + 2 * bits[1:, 1:] + bits[1:, :-1]
    following: dict[Side, Side] = {}
    for row, column in zip(*((cases > 0) & (cases < 15)).nonzero(), strict=True):
        r, c = int(row), int(column)
        sides: Sequence[Side] = ((0, r, c), (1, r, c + 1), (0, r + 1, c), (1, r, c))
        following |= {sides[start]: sides[end] for start, end in _SEGMENTS[int(cases[r, c])]}
    return following


def _rings(following: dict[Side, Side]) -> list[list[Side]]:
    rings: list[list[Side]] = []
    while following:
        side, onward = following.popitem()
        ring = [side]
        while onward != ring[0]:
            ring.append(onward)
            onward = following.pop(onward)
        rings.append(ring)
    return rings


def _points(ring: Sequence[Side], values: Grid, level: float) -> Polygon:
    points = []
    for kind, row, column in ring:
        first, second = values[row, column], values[row + kind, column + 1 - kind]
        along = float((level - first) / (second - first))
        points.append((column + along * (1 - kind), row + along * kind))
    return np.array(points)


def _without_near_points(line: Polygon, tolerance: float) -> Polygon:
    """Return an open line without the points that lie within the tolerance of what is left of it."""
    if len(line) < 3:
        return line
    start, along = line[0], line[-1] - line[0]
    offsets = line - start
    length = float(np.linalg.norm(along))
    if length > 0:
        distances = np.abs(along[0] * offsets[:, 1] - along[1] * offsets[:, 0]) / length
    else:
        distances = np.linalg.norm(offsets, axis=1)
    farthest = int(distances.argmax())
    if distances[farthest] <= tolerance:
        return line[[0, -1]]
    first, second = line[: farthest + 1], line[farthest:]
    return np.concatenate([_without_near_points(first, tolerance)[:-1], _without_near_points(second, tolerance)])
