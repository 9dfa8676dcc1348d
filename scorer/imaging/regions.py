"""From an anomaly map and the limit that its frame exceeded to the regions that made the frame exceed it."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage  # type: ignore[import-untyped]

from scorer.imaging.contours import enclosed_area, outer_contour, simplified
from storage.areas.regions import PLACES, Place, Region
from storage.blobs.anomaly_maps import AnomalyMap
from storage.line.decision import Decision, is_borderline

MAX_REGIONS = 8
TOP_FRACTION = 0.03
"""The farthest part of the map that a detector's score is held against, as nearest patch pools its own."""

HALF = 0.5
"""A region is drawn at no less than this fraction of its peak, as the width of a peak is measured."""

EVERYWHERE_SHARE = 0.5
"""A region of a greater share of the picture has no place in it."""

DECIMALS = 4
"""Decimals of a fraction of the picture: a quarter of a pixel in a picture of 2500."""

ROUNDING = 1e-4
"""Relative error up to which a score in float32 equals the statistic of its map."""


def exceeding_regions(
    anomaly_map: AnomalyMap, decision: Decision, score: float, threshold: float, review_limit: float | None
) -> tuple[Region, ...]:
    """Return where a flagged or borderline frame exceeds its limit, at least at the map's peak; nothing for others.

    Args:
        anomaly_map: (rows, columns) float32, over the whole picture; NaN where there is no value.
        decision: The decision on the frame.
        score: Its image score.
        threshold: The limit that a flagged frame exceeds.
        review_limit: The limit that a borderline frame exceeds.
    """
    if decision == "flag":
        limit = threshold
    elif review_limit is not None and is_borderline(decision, score, review_limit):
        limit = review_limit
    else:
        return ()
    level = contour_level(anomaly_map, score, limit)
    return () if level is None else find_regions(anomaly_map, level)


def contour_level(anomaly_map: AnomalyMap, score: float, limit: float) -> float | None:
    """Return the value of the map that corresponds to a limit which the frame's score exceeds.

    A score that lies between the mean of the map's farthest part and its maximum was pooled from the map, so the limit
    itself is the level: that of nearest patch is the former, that of PaDiM the latter. Another score, such as that of a
    network of its own, is in other units, and the map is scaled so that its farthest part has the score. Either way the
    level lies below the map's maximum.

    Args:
        anomaly_map: (rows, columns) float32, NaN where there is no value.
        score: The image score.
        limit: The threshold or the review limit, less than the score.

    Returns:
        The level, or None for a map without values or of one value, which tells no place.
    """
    values = anomaly_map[np.isfinite(anomaly_map)].astype(np.float64)
    if not values.size or values.max() <= values.min():
        return None
    farthest = np.sort(values)[-max(1, round(values.size * TOP_FRACTION)) :]
    low, high = float(farthest.mean()), float(values.max())
    slack = ROUNDING * abs(score)
    level = limit
    if not low - slack <= score <= high + slack and score > 0:
        level = limit * low / score
    return min(level, float(np.nextafter(high, -np.inf)))


def find_regions(anomaly_map: AnomalyMap, level: float) -> tuple[Region, ...]:
    """Return the connected regions of the map above a level, at most `MAX_REGIONS`, the highest peak first.

    A network sees more around a patch than the patch, so a strong defect lifts the map far around it. Where the level
    is low against a peak, the part around that peak is what lies above half of the peak.

    Args:
        anomaly_map: (rows, columns) float32, over the whole picture; NaN where there is no value.
        level: The value above which a cell belongs to a region.
    """
    values = np.where(np.isfinite(anomaly_map), anomaly_map, -np.inf).astype(np.float64)
    parts = []
    for around in _connected(values > level):
        half = max(level, HALF * float(values[around].max()))
        parts += [(inside, half) for inside in _connected(around & (values > half))]
    parts.sort(key=lambda part: -float(values[part[0]].max()))
    return tuple(_region(values, inside, half) for inside, half in parts[:MAX_REGIONS])


def _connected(cells: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.bool_]]:
    labels, number = ndimage.label(cells)
    return [labels == label for label in range(1, number + 1)]


def _region(values: npt.NDArray[np.float64], inside: npt.NDArray[np.bool_], level: float) -> Region:
    rows, columns = values.shape
    below = level - (float(values[inside].max()) - level)  # other regions do not touch the contour of this one
    alone = np.where(inside, values, np.clip(values, below, level))
    contour = outer_contour(alone, level) / (columns, rows)
    outline = np.round(simplified(contour, tolerance=0.04 / max(rows, columns)), DECIMALS)
    left, top = (float(value) for value in contour.min(axis=0))
    right, bottom = (float(value) for value in contour.max(axis=0))
    share = min(1.0, enclosed_area(contour))
    return Region(
        place=_place(values, inside, level, share),
        share=max(round(share, DECIMALS + 2), 10.0 ** -(DECIMALS + 2)),
        box=(round(left, DECIMALS), round(top, DECIMALS), round(right, DECIMALS), round(bottom, DECIMALS)),
        outline=tuple((float(x), float(y)) for x, y in outline),
    )


def _place(values: npt.NDArray[np.float64], inside: npt.NDArray[np.bool_], level: float, share: float) -> Place:
    """Return the ninth of the picture in which the centre of the region's excess lies."""
    if share > EVERYWHERE_SHARE:
        return "everywhere"
    excess = np.where(inside, values - level, 0.0)
    centre: Sequence[float] = ndimage.center_of_mass(excess)
    row, column = (min(2, int(3 * (index + 0.5) / cells)) for index, cells in zip(centre, values.shape, strict=True))
    return PLACES[3 * row + column]
