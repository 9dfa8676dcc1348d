"""Which pixels of the tested pictures are defects, and how maps over a grid score them.

Everything is in the coordinates of the original picture, at a resolution whose longer side is bounded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage  # type: ignore[import-untyped]

from scorer.evaluation.datasets import Dataset, read_image
from scorer.evaluation.errors import EvaluationError
from scorer.evaluation.metrics import PixelMetrics, compute_pixel_metrics
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings

MAX_SIDE_PX = 256
"""Larger pictures are judged at this size: 400 of them then take a second, and a cell of a map is 16 pixels anyway."""

HALF_WHITE = 127

EIGHT_NEIGHBOURS = np.ones((3, 3), bool)

Regions = npt.NDArray[np.int32]
"""(rows, columns): 0 where a picture is normal, else the number of the region, from 1."""


@dataclass(frozen=True, slots=True)
class PixelGroundTruth:
    """Regions of each picture that pixels are judged in, and the pictures' own sizes; by place among the tested.

    An anomaly without a mask, in a dataset that has masks, is left out.
    """

    regions: dict[int, Regions]
    sizes: dict[int, tuple[int, int]]


def read_ground_truth(dataset: Dataset, limits: ScorerSettings) -> PixelGroundTruth | None:
    """Read the masks; None where a dataset has none. Places count the normals first, then the anomalies."""
    if not dataset.has_masks:
        return None
    regions, sizes = {}, {}
    for place, path in enumerate([*dataset.good, *dataset.bad]):
        mask = dataset.mask_of(path) if place >= len(dataset.good) else None
        if mask is None and place >= len(dataset.good):
            continue
        size = read_image(path, limits).shape[:2]
        regions[place] = (
            np.zeros(_bounded(size), np.int32) if mask is None else label_regions(_read(mask, size, limits))
        )
        sizes[place] = size
    return PixelGroundTruth(regions, sizes)


def label_regions(mask: npt.NDArray[np.bool_]) -> Regions:
    """Number the connected regions (eight neighbours) of a mask and bring them to the bounded size.

    Each pixel takes the region at its centre; a region too small for any centre keeps the pixel it lies in.
    """
    labels, count = ndimage.label(mask, EIGHT_NEIGHBOURS)
    rows, columns = _bounded(mask.shape)
    y = ((np.arange(rows) + 0.5) * mask.shape[0] / rows).astype(int)
    x = ((np.arange(columns) + 0.5) * mask.shape[1] / columns).astype(int)
    regions: Regions = labels[np.ix_(y, x)].astype(np.int32)
    for lost in sorted(set(range(1, count + 1)) - set(np.unique(regions).tolist())):
        row, column = np.argwhere(labels == lost)[0]
        regions[row * rows // mask.shape[0], column * columns // mask.shape[1]] = lost
    return regions


def evaluate_maps(maps: Sequence[npt.NDArray[np.float32]], framing: Framing, truth: PixelGroundTruth) -> PixelMetrics:
    """Compare maps over the framed pictures, one for each tested picture, with the regions.

    What a framing cut off scores as the picture's lowest value: nobody looked there.
    """
    normal, anomalous, weights = [], [], []
    for place, regions in truth.regions.items():
        values = resize_map_to_image(maps[place], framing, truth.sizes[place], regions.shape)
        inside = regions > 0
        normal.append(values[~inside])
        anomalous.append(values[inside])
        weights.append(1 / np.bincount(regions[inside], minlength=1)[regions[inside]])
    return compute_pixel_metrics(np.concatenate(normal), np.concatenate(anomalous), np.concatenate(weights))


def resize_map_to_image(
    framed_map: npt.NDArray[np.float32], framing: Framing, size: tuple[int, int], shape: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """A map as a station keeps it, over the whole picture, interpolated to `shape` pixels."""
    kept = framing.over(framed_map, *size)
    kept = np.nan_to_num(kept, nan=float(np.nanmin(kept)))
    return np.asarray(_linear(shape[0], kept.shape[0]) @ kept @ _linear(shape[1], kept.shape[1]).T, np.float32)


@lru_cache(maxsize=4096)
def _linear(pixels: int, cells: int) -> npt.NDArray[np.float32]:
    """Weights (pixels, cells) of linear interpolation between cell centres, constant beyond the outermost ones."""
    places = np.clip((np.arange(pixels) + 0.5) * cells / pixels - 0.5, 0, cells - 1)
    return np.asarray(np.maximum(0, 1 - np.abs(places[:, None] - np.arange(cells))), np.float32)


def _bounded(size: tuple[int, ...]) -> tuple[int, int]:
    scale = min(1.0, MAX_SIDE_PX / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _read(path: Path, size: tuple[int, int], limits: ScorerSettings) -> npt.NDArray[np.bool_]:
    mask = read_image(path, limits)
    if mask.shape[:2] != size:
        rows, columns = mask.shape[:2]
        raise EvaluationError(f"{path} is {columns} × {rows} pixels, its picture {size[1]} × {size[0]}.")
    inside: npt.NDArray[np.bool_] = mask.max(axis=2) > HALF_WHITE
    return inside
