"""Keep what a mask ignores out of everything that is computed from an image."""

import numpy as np
import numpy.typing as npt

from imaging.rgb import RgbImage
from imaging.rotation import rotate
from scorer.imaging.framing import CellMask, Framing

SAMPLES = 8
"""Samples along each side of a cell, by which its ignored part is measured."""

MAX_IGNORED = 0.5
"""A cell of which more is ignored is not inspected."""

IgnoredPixels = npt.NDArray[np.bool_]
"""(height, width), True where the picture is not inspected."""


def without_ignored(image: RgbImage, ignored: IgnoredPixels) -> RgbImage:
    """Return the image with the mean colour of what is inspected where it is not.

    Networks see more around a patch than the patch: only pixels that are gone can't change the score of their
    neighbours. The colour is that of the same image, so nothing of what was there is left.
    """
    if not ignored.any() or ignored.all():
        return image
    painted = image.copy()
    painted[ignored] = np.rint(image[~ignored].mean(axis=0)).astype(np.uint8)
    return painted


def ignored_after_rotation(ignored: IgnoredPixels, degrees: int) -> IgnoredPixels:
    """Return what is ignored of an image that `imaging.rotation.rotate` turned by so many degrees."""
    if degrees % 360 == 0:
        return ignored
    as_image = np.repeat(ignored[:, :, None].astype(np.uint8) * 255, 3, axis=2)
    turned: IgnoredPixels = rotate(as_image, degrees)[:, :, 0] > 127
    return turned


def inspected_cells(ignored: IgnoredPixels, framing: Framing, size: tuple[int, int], grid: tuple[int, int]) -> CellMask:
    """Return which cells of a framed image are inspected, padding included: (rows, columns).

    Args:
        ignored: The pixels of the image before framing.
        framing: How the image lies in the frame.
        size: Height and width of the frame.
        grid: Rows and columns of cells.
    """
    image_height, image_width = ignored.shape
    top, left, height, width = framing.placement(image_height, image_width, size)
    rows = _positions(size[0], grid[0], top, height, image_height)
    columns = _positions(size[1], grid[1], left, width, image_width)
    samples = ignored[rows][:, columns].reshape(grid[0], SAMPLES, grid[1], SAMPLES)
    inspected: CellMask = samples.mean(axis=(1, 3)) <= MAX_IGNORED
    return inspected


def _positions(frame: int, cells: int, start: int, length: int, pixels: int) -> npt.NDArray[np.int64]:
    """Return the image's row or column under each sample along a side of the frame; in padding that of the edge."""
    places = (np.arange(cells * SAMPLES) + 0.5) * frame / (cells * SAMPLES)
    found: npt.NDArray[np.int64] = np.clip((places - start) / length * pixels, 0, pixels - 1).astype(np.int64)
    return found
