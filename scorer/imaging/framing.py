"""Fit an image of any shape into a model's fixed shape, and map anomaly maps back onto the image."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from storage.blobs.anomaly_maps import AnomalyMap
from storage.line import stations

CellMask = npt.NDArray[np.bool_]
Matrix = npt.NDArray[np.float64]
SHAPE_CACHE_SIZE = 256
"""The number of image shapes whose masks and matrices are cached."""

TILES = {"tiles_2": 2, "tiles_3": 3}
CELL_PX = 16  # the size of a cell where only proportions matter
MAX_MAP_SIDE = 256
"""Maximum rows or columns of a map over a very long image, whose cells then cover more pixels each."""

MIN_CELLS = 4
"""Minimum cells each way of a network's input: oneDNN's bf16 convolutions are wrong for maps one cell wide."""

OVERSAMPLING = 1.25
"""An image is decoded to at least this multiple of the pixels per side that the frame shows of it."""


@dataclass(frozen=True, slots=True)
class CellBox:
    """The rows and columns of grid cells that hold an image; `bottom` and `right` are exclusive."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def rows(self) -> slice:
        """The rows, for indexing."""
        return slice(self.top, self.bottom)

    @property
    def columns(self) -> slice:
        """The columns, for indexing."""
        return slice(self.left, self.right)

    def of_pixels(self, height: int, width: int) -> "CellBox":
        """Return the box in pixels, for cells of this height and width."""
        return CellBox(self.top * height, self.bottom * height, self.left * width, self.right * width)


@dataclass(frozen=True, slots=True)
class DeviceResize:
    """How an image is resized as part of its batch, on the device of the network (`scorer.backbones.device_resize`).

    Attributes:
        size: Height and width of the whole frame, in pixels.
        top: First row of the scaled image within the frame.
        left: First column of the scaled image within the frame.
        height: Rows of the scaled image.
        width: Columns of the scaled image.
        tiles: Tiles along each side.
        shown: The pixels of the frame that the network gets, where padding is cropped; None for all of them.
    """

    size: tuple[int, int]
    top: int
    left: int
    height: int
    width: int
    tiles: int
    shown: CellBox | None


@dataclass(frozen=True, slots=True)
class Framed:
    """An image as a network takes it.

    Attributes:
        tiles: (T, H, W, 3) uint8, row by row.
        cells: (rows, columns) bool over the whole grid, False in padding.
        height: Height of the image before framing, in pixels.
        width: Width of the image before framing, in pixels.
        box: The cells that `tiles` shows, where padding was cropped; None where it was not.
        later: The resize that is still to be done, `tiles` being the image as it was decoded, (1, height, width, 3);
            None where it is done.
    """

    tiles: npt.NDArray[np.uint8]
    cells: CellMask
    height: int
    width: int
    box: CellBox | None = None
    later: DeviceResize | None = None


@dataclass(frozen=True, slots=True)
class Framing:
    """A station's choice: the whole image with padding (letterbox), the whole image distorted, or its centre alone.

    With tiles it is a letterbox of two or three times the side, cut into four or nine tiles that each fill the
    backbone: for defects that are too small once the whole image is shrunk.

    Sizes are (height, width) in pixels, grids (rows, columns). Padding repeats the image's edge, because padding of one
    colour would give every image an edge that no part has.
    """

    kind: stations.FramingKind = "letterbox"

    def __str__(self) -> str:
        """Return the kind."""
        return self.kind

    @property
    def identity(self) -> str:
        """The part of a model id for the framing: images that are resized in another way have other scores."""
        return self.kind if self.kind == "centre_crop" else f"{self.kind}, resized by torch"

    @property
    def tiles(self) -> int:
        """Tiles along each side; 1 where the image stays whole."""
        return TILES.get(self.kind, 1)

    @property
    def has_padding(self) -> bool:
        """Whether there is padding that can be cropped; tiles are cut from a frame with its padding."""
        return self.kind == "letterbox"

    def target_size(self, height: int, width: int, size: tuple[int, int]) -> tuple[int, int]:
        """Return the height and width, in pixels, at which an image of this shape fills a network's `size` sharply."""
        _, _, rows, columns = self.placement(height, width, (size[0] * self.tiles, size[1] * self.tiles))
        return round(rows * OVERSAMPLING), round(columns * OVERSAMPLING)

    @lru_cache(SHAPE_CACHE_SIZE)  # noqa: B019  framings are few, and a station's images mostly have one shape
    def valid_mask(self, height: int, width: int, size: tuple[int, int], grid: tuple[int, int]) -> CellMask:
        """Return which cells of a framed image's grid have their centre in the image, not in padding; at least one has.

        The array, (rows, columns) bool, is cached and read-only.

        Args:
            height: Height of the image before framing.
            width: Width of the image before framing.
            size: Height and width of the frame.
            grid: Rows and columns of cells.
        """
        top, left, height, width = self.placement(height, width, size)
        rows = _inside((np.arange(grid[0]) + 0.5) * size[0] / grid[0], top, height)
        columns = _inside((np.arange(grid[1]) + 0.5) * size[1] / grid[1], left, width)
        cells = rows[:, None] & columns[None, :]
        cells.flags.writeable = False
        return cells

    @lru_cache(SHAPE_CACHE_SIZE)  # noqa: B019  as above
    def cell_box(self, height: int, width: int, size: tuple[int, int], grid: tuple[int, int]) -> CellBox:
        """Return the box of valid cells of a letterbox, widened into the padding to at least `MIN_CELLS` each way."""
        cells = self.valid_mask(height, width, size, grid)
        rows, columns = (np.asarray(cells.any(axis=axis)) for axis in (1, 0))
        return CellBox(*_stretch(rows), *_stretch(columns))

    def map_to_image(self, framed_map: AnomalyMap, height: int, width: int) -> AnomalyMap:
        """Bring an anomaly map over a framed image to the coordinates of the whole image.

        Cells are square and keep about their size; values are interpolated between cell centres.

        Args:
            framed_map: (rows, columns) float32.
            height: Height of the image before framing, in pixels.
            width: Width of the image before framing, in pixels.

        Returns:
            The map over the whole image, float32, NaN where the image was cut off.
        """
        by_row, by_column, unseen = self._sampling(height, width, framed_map.shape)
        sampled: AnomalyMap = (by_row @ framed_map.astype(np.float64) @ by_column.T).astype(np.float32)
        sampled[unseen] = np.nan
        return sampled

    @lru_cache(SHAPE_CACHE_SIZE)  # noqa: B019  as above
    def _sampling(self, image_height: int, image_width: int, grid: tuple[int, int]) -> tuple[Matrix, Matrix, CellMask]:
        """Return the matrices that a map is multiplied by on either side, and where the framed image shows nothing."""
        size = grid[0] * CELL_PX, grid[1] * CELL_PX
        top, left, height, width = self.placement(image_height, image_width, size)
        rows, columns = _cells(height / CELL_PX), _cells(width / CELL_PX)
        y = (top + (np.arange(rows) + 0.5) / rows * height) / CELL_PX
        x = (left + (np.arange(columns) + 0.5) / columns * width) / CELL_PX
        visible = _inside(y, 0, grid[0])[:, None] & _inside(x, 0, grid[1])[None, :]
        return _interpolation(grid[0], y), _interpolation(grid[1], x), ~visible

    def placement(self, height: int, width: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Return top, left, height and width, in pixels, of the whole scaled image within a frame of `size`.

        Top and left are negative where the image is cut off.
        """
        if self.kind == "stretch":
            return 0, 0, *size
        ratios = size[0] / height, size[1] / width
        scale = max(ratios) if self.kind == "centre_crop" else min(ratios)
        scaled = max(1, round(height * scale)), max(1, round(width * scale))
        return (size[0] - scaled[0]) // 2, (size[1] - scaled[1]) // 2, *scaled


def _stretch(valid: CellMask) -> tuple[int, int]:
    """Return the range of valid cells along a side, widened to `MIN_CELLS` or, where they are fewer, to all cells."""
    first, after = int(valid.argmax()), len(valid) - int(valid[::-1].argmax())
    wanted = min(len(valid), max(after - first, MIN_CELLS))
    first = min(max(0, first - (wanted - (after - first)) // 2), len(valid) - wanted)
    return first, first + wanted


def _inside(centres: npt.NDArray[np.float64], start: float, length: float) -> CellMask:
    inside = (centres >= start) & (centres < start + length)
    if not inside.any():  # the image is thinner than a cell: the cell that contains it counts as valid
        inside[np.abs(centres - (start + length / 2)).argmin()] = True
    return inside


def _cells(number: float) -> int:
    return min(MAX_MAP_SIDE, max(1, round(number)))


def _interpolation(cells: int, positions: Matrix) -> Matrix:
    """Return the weights, (positions, cells), of linear interpolation between the centres of cells.

    Beyond the centres of the first and the last cell, their values are repeated.
    """
    centred = np.clip(positions - 0.5, 0, cells - 1)
    low = np.minimum(centred.astype(int), max(0, cells - 2))
    fraction = centred - low
    weights = np.zeros((len(positions), cells))
    rows = np.arange(len(positions))
    weights[rows, low] = 1 - fraction
    weights[rows, np.minimum(low + 1, cells - 1)] += fraction
    return weights
