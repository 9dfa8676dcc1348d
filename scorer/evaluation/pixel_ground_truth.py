"""Ground truth of pixels, and the metrics of anomaly maps against it.

Everything is in the coordinates of the original image, at a resolution whose longer side is bounded.
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
"""The longer side at which larger images are evaluated: 400 of them take a second, and a map's cell is 16 px anyway."""

MASK_THRESHOLD = 127
"""Grey levels above this are anomalous."""

EIGHT_NEIGHBOURS = np.ones((3, 3), bool)

Regions = npt.NDArray[np.int32]
"""(rows, columns): 0 for a normal pixel, else the number of its region, from 1."""


@dataclass(frozen=True, slots=True)
class PixelGroundTruth:
    """The labelled pixels of a dataset.

    An anomaly without a mask, in a dataset that has masks, is not part of it.

    Attributes:
        regions: The regions of each image, by its index among the tested images.
        sizes: Height and width of each image in pixels, by the same index.
    """

    regions: dict[int, Regions]
    sizes: dict[int, tuple[int, int]]


def read_ground_truth(dataset: Dataset, limits: ScorerSettings) -> PixelGroundTruth | None:
    """Read the masks of a dataset's tested images; return None if it has none.

    Raises:
        EvaluationError: A mask is not of its image's size, or a file cannot be decoded.
    """
    if not dataset.has_masks:
        return None
    regions, sizes = {}, {}
    for index, path in enumerate(dataset.tested):
        is_anomaly = index >= len(dataset.good)
        mask = dataset.mask_of(path) if is_anomaly else None
        if is_anomaly and mask is None:
            continue
        height, width, _ = read_image(path, limits).shape
        sizes[index] = height, width
        if mask is None:
            regions[index] = np.zeros(_bounded_size((height, width)), np.int32)
        else:
            regions[index] = label_regions(_read_mask(mask, (height, width), limits))
    return PixelGroundTruth(regions, sizes)


def label_regions(mask: npt.NDArray[np.bool_]) -> Regions:
    """Label the connected regions (eight neighbours) of a mask, at the bounded size.

    Each pixel takes the region at its centre; a region too small for any centre keeps the pixel that contains it.
    """
    labels, count = ndimage.label(mask, EIGHT_NEIGHBOURS)
    rows, columns = _bounded_size(mask.shape)
    y = ((np.arange(rows) + 0.5) * mask.shape[0] / rows).astype(int)
    x = ((np.arange(columns) + 0.5) * mask.shape[1] / columns).astype(int)
    regions: Regions = labels[np.ix_(y, x)].astype(np.int32)
    for lost in sorted(set(range(1, count + 1)) - set(np.unique(regions).tolist())):
        row, column = np.argwhere(labels == lost)[0]
        regions[row * rows // mask.shape[0], column * columns // mask.shape[1]] = lost
    return regions


def evaluate_maps(
    maps: Sequence[npt.NDArray[np.float32]], framing: Framing, ground_truth: PixelGroundTruth
) -> PixelMetrics:
    """Return the metrics of anomaly maps over framed images, one map for each tested image.

    Pixels that the framing cut off score as the lowest value of their image's map.
    """
    normal, anomalous, weights = [], [], []
    for index, regions in ground_truth.regions.items():
        values = resize_map_to_image(maps[index], framing, ground_truth.sizes[index], regions.shape)
        is_anomalous = regions > 0
        normal.append(values[~is_anomalous])
        anomalous.append(values[is_anomalous])
        weights.append(1 / np.bincount(regions[is_anomalous], minlength=1)[regions[is_anomalous]])
    return compute_pixel_metrics(np.concatenate(normal), np.concatenate(anomalous), np.concatenate(weights))


def resize_map_to_image(
    framed_map: npt.NDArray[np.float32], framing: Framing, size: tuple[int, int], shape: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Return a map over the whole image, as a station stores it, interpolated linearly to `shape` pixels.

    Args:
        framed_map: The map over the framed image.
        framing: The framing of the image.
        size: Height and width of the original image in pixels.
        shape: Rows and columns of the result.
    """
    image_map = framing.map_to_image(framed_map, *size)
    image_map = np.nan_to_num(image_map, nan=float(np.nanmin(image_map)))
    by_row, by_column = _linear_weights(shape[0], image_map.shape[0]), _linear_weights(shape[1], image_map.shape[1])
    return np.asarray(by_row @ image_map @ by_column.T, np.float32)


@lru_cache(maxsize=4096)
def _linear_weights(pixels: int, cells: int) -> npt.NDArray[np.float32]:
    """Return weights (pixels, cells) of linear interpolation between cell centres, constant beyond the outer ones."""
    positions = np.clip((np.arange(pixels) + 0.5) * cells / pixels - 0.5, 0, cells - 1)
    return np.asarray(np.maximum(0, 1 - np.abs(positions[:, None] - np.arange(cells))), np.float32)


def _bounded_size(size: tuple[int, ...]) -> tuple[int, int]:
    scale = min(1.0, MAX_SIDE_PX / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _read_mask(path: Path, size: tuple[int, int], limits: ScorerSettings) -> npt.NDArray[np.bool_]:
    mask = read_image(path, limits)
    if mask.shape[:2] != size:
        rows, columns = mask.shape[:2]
        raise EvaluationError(f"The mask {path} is {columns} × {rows} pixels; its image is {size[1]} × {size[0]}.")
    is_anomalous: npt.NDArray[np.bool_] = mask.max(axis=2) > MASK_THRESHOLD
    return is_anomalous
