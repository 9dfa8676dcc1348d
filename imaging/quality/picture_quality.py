"""Tell a picture that shows no part properly, from the brightness, contrast and sharpness of the normals.

A detector compares what a picture shows; a blank, dark or blurred picture shows little, and may look normal to it. So
every picture is measured before it is scored, and one that differs too much from the normals is a bad picture. The
limits are generous: a defect changes a part of the picture, a bad picture is another picture.
`python -m benchmarks.accuracy.picture_quality` measures how many good and defective parts they refuse.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from imaging.quality.picture_problem import PictureProblem
from imaging.rgb import RgbImage

Grid = npt.NDArray[np.float32]

GRID = 64
"""Cells along each side of the grid on which a picture is measured, whatever its size."""

FAR = 4
"""Cells between which differences are compared with those between neighbours, to tell sharp from blurred."""

SHAPE_CACHE_SIZE = 64
DARK_LEVEL, BRIGHT_LEVEL = 1, 254
"""Samples at or below the one, or at or above the other, are clipped: the camera could not tell them apart."""

UNIFORM_STEP = 0.25
"""Grey levels between neighbouring cells, as root mean square, of a row or column that shows nothing."""

BLANK_CONTRAST = 1.5
"""Grey levels of contrast below which a picture shows nothing, whatever the normals are."""

MIN_BRIGHTNESS_RATIO, MIN_DARK_CONTRAST_RATIO = 0.29, 0.4
MAX_BRIGHTNESS_RATIO = 5.0
MIN_CONTRAST_RATIO = 0.18
"""Ratios to the mean of the normals. Less light lowers brightness and contrast alike, a dark part brightness alone."""

MIN_SHARPNESS, MIN_SHARPNESS_RATIO = 0.35, 0.85
"""A picture is blurred below the smaller of the first, and the second of the least sharp normal. A Gaussian of 4 % of
the side gives at most 0.32 whatever is shown, and sharp edges give 0.5."""

MORE_UNIFORM, MORE_CLIPPED_DARK, MORE_CLIPPED_BRIGHT = 0.3, 0.64, 0.5
"""Shares beyond the largest share of a normal."""


@dataclass(frozen=True, slots=True)
class PictureStatistics:
    """What is measured of a picture, on a grid of 64 × 64 cells.

    Attributes:
        brightness: Mean grey level, 0 to 255.
        contrast: Standard deviation of the cells' grey levels, 0 to 127.5.
        sharpness: Differences between neighbouring cells relative to those between cells four apart, as root mean
            squares: about 0.25 for a blurred picture, 0.5 for sharp edges, 1 for noise; 0 without contrast. It depends
            on neither exposure nor contrast.
        dark_share: Share of clipped dark samples, 0 to 1.
        bright_share: Share of clipped bright samples, 0 to 1.
        uniform_share: Share of rows, or of columns where that is more, that are of one grey level that is not clipped,
            0 to 1.
    """

    brightness: float
    contrast: float
    sharpness: float
    dark_share: float
    bright_share: float
    uniform_share: float


def measure(image: RgbImage) -> PictureStatistics:
    """Return the statistics of an image of any size, from 128 × 128 samples of it."""
    samples = np.ascontiguousarray(image).reshape(-1).take(_positions(image.shape[0], image.shape[1]))
    pairs = samples[0::2].astype(np.uint16) + samples[1::2]
    cells: Grid = (pairs[:, 0::2] + pairs[:, 1::2]).astype(np.float32) / np.float32(4)
    brightness = float(cells.mean())
    centred = cells - brightness
    down, right = _steps(cells, 1)
    far = _mean_square(*_steps(cells, FAR))
    uniform = max(_uniform_lines(right, cells), _uniform_lines(down.T, cells.T))
    return PictureStatistics(
        brightness=brightness,
        contrast=math.sqrt(_mean_square(centred)),
        sharpness=math.sqrt(_mean_square(down, right) / far) if far > 0 else 0.0,
        dark_share=float(np.count_nonzero(samples <= DARK_LEVEL) / samples.size),
        bright_share=float(np.count_nonzero(samples >= BRIGHT_LEVEL) / samples.size),
        uniform_share=uniform / GRID,
    )


def _steps(cells: Grid, distance: int) -> tuple[Grid, Grid]:
    """Return the differences between cells this far apart, down and to the right."""
    return cells[distance:] - cells[:-distance], cells[:, distance:] - cells[:, :-distance]


def _mean_square(*grids: Grid) -> float:
    return sum(float(np.vdot(grid, grid)) for grid in grids) / sum(grid.size for grid in grids)


def _uniform_lines(steps: Grid, cells: Grid) -> int:
    """Return how many rows are uniform and not clipped, given the steps along them."""
    is_uniform = np.einsum("ij,ij->i", steps, steps) <= (GRID - 1) * UNIFORM_STEP**2
    first = cells[:, 0]
    return int(np.count_nonzero(is_uniform & (first > DARK_LEVEL) & (first < BRIGHT_LEVEL)))


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """What a picture may be measured as beside the normals; beyond it is a bad picture.

    Attributes:
        min_brightness: Below is too dark, in grey levels, if the contrast is too low as well.
        min_dark_contrast: The contrast below which such a picture is too dark, in grey levels.
        max_brightness: Above is overexposed, in grey levels.
        min_contrast: Below shows too little, in grey levels.
        min_sharpness: Below is blurred.
        max_dark_share: Above is too dark.
        max_bright_share: Above is overexposed.
        max_uniform_share: Above, a part of the picture is missing.
    """

    min_brightness: float
    min_dark_contrast: float
    max_brightness: float
    min_contrast: float
    min_sharpness: float
    max_dark_share: float
    max_bright_share: float
    max_uniform_share: float

    @classmethod
    def from_normals(cls, normals: Sequence[PictureStatistics]) -> "PictureLimits":
        """Return the limits that the statistics of a normal set lead to; their order does not matter."""
        brightness = math.fsum(normal.brightness for normal in normals) / len(normals)
        contrast = math.fsum(normal.contrast for normal in normals) / len(normals)
        least_sharp = min(normal.sharpness for normal in normals)
        return cls(
            min_brightness=MIN_BRIGHTNESS_RATIO * brightness,
            min_dark_contrast=MIN_DARK_CONTRAST_RATIO * contrast,
            max_brightness=MAX_BRIGHTNESS_RATIO * brightness,
            min_contrast=MIN_CONTRAST_RATIO * contrast,
            min_sharpness=min(MIN_SHARPNESS, MIN_SHARPNESS_RATIO * least_sharp),
            max_dark_share=MORE_CLIPPED_DARK + max(normal.dark_share for normal in normals),
            max_bright_share=MORE_CLIPPED_BRIGHT + max(normal.bright_share for normal in normals),
            max_uniform_share=MORE_UNIFORM + max(normal.uniform_share for normal in normals),
        )


def find_problem(picture: PictureStatistics, limits: PictureLimits) -> PictureProblem | None:
    """Return why a picture is bad; None for one that can be judged."""
    is_dull = picture.contrast < limits.min_dark_contrast
    is_dark = picture.brightness < limits.min_brightness and is_dull
    problems = {
        PictureProblem.BLANK: picture.contrast < BLANK_CONTRAST,
        PictureProblem.INCOMPLETE: picture.uniform_share > limits.max_uniform_share,
        PictureProblem.DARK: is_dark or picture.dark_share > limits.max_dark_share,
        PictureProblem.OVEREXPOSED: picture.brightness > limits.max_brightness
        or picture.bright_share > limits.max_bright_share,
        PictureProblem.LOW_CONTRAST: picture.contrast < limits.min_contrast,
        PictureProblem.BLURRED: picture.sharpness < limits.min_sharpness,
    }
    return next((problem for problem, holds in problems.items() if holds), None)


@lru_cache(SHAPE_CACHE_SIZE)
def _positions(height: int, width: int) -> npt.NDArray[np.int64]:
    """Return the flat positions of 128 × 128 samples in an (height, width, 3) image, one colour each.

    The colours alternate as on a sensor behind a Bayer filter, so that the mean of a cell's four samples is a grey
    level, and a picture is sampled in a fraction of the time that all three colours take.
    """
    rows, columns = ((np.arange(2 * GRID) + 0.5) * side // (2 * GRID) for side in (height, width))
    colours = np.tile([[0, 1], [1, 2]], (GRID, GRID))
    positions: npt.NDArray[np.int64] = ((rows[:, None] * width + columns) * 3 + colours).astype(np.int64)
    return positions
