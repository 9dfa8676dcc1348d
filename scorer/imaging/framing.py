"""How a picture of any shape meets a model of one shape, and how the anomaly map finds back to the picture."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from scorer.imaging.rgb import RgbImage
from storage.blobs.anomaly_maps import AnomalyMap
from storage.line import stations

CellMask = npt.NDArray[np.bool_]
Matrix = npt.NDArray[np.float64]
SHAPE_CACHE_SIZE = 256
"""For so many shapes of pictures, what follows from the shape alone is computed once."""
TILES = {"tiles_2": 2, "tiles_3": 3}
CELL_PX = 16  # stands for the size of a cell where only proportions matter
MAX_MAP_SIDE = 256
"""Rows or columns of a map over a very long picture, whose cells then stand for more pixels each."""

MIN_CELLS = 4
"""A network gets at least so many each way: oneDNN's convolutions in bf16 are wrong for maps one cell wide."""

OVERSAMPLING = 1.25
"""A picture is decoded with at least this many times the pixels a side that the frame shows of it."""


@dataclass(frozen=True, slots=True)
class CellBox:
    """The rows and columns of a grid's cells that hold a picture; `bottom` and `right` are the first beyond it."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def rows(self) -> slice:
        """For indexing."""
        return slice(self.top, self.bottom)

    @property
    def columns(self) -> slice:
        """For indexing."""
        return slice(self.left, self.right)

    def of_pixels(self, height: int, width: int) -> "CellBox":
        """The same in pixels, for cells of that height and width."""
        return CellBox(self.top * height, self.bottom * height, self.left * width, self.right * width)


@dataclass(frozen=True, slots=True)
class DeviceResize:
    """How a picture is brought to size beside the network (`resized_later`).

    size: of the whole frame. top, left, height, width: where the scaled picture lies in it. tiles: along each side.
    shown: what of the frame is shown, where bars are left out; else all.
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
    """A picture as a network takes it.

    tiles: (T, H, W, 3) uint8, row by row. cells: (rows, columns) of the whole grid, False in bars. height, width: of
    the picture it was made of, in pixels. box: which cells `tiles` shows, where bars were left out; else None. later:
    what is still to be done, `tiles` being the picture as it was decoded, (1, height, width, 3); else None.
    """

    tiles: npt.NDArray[np.uint8]
    cells: CellMask
    height: int
    width: int
    box: CellBox | None = None
    later: DeviceResize | None = None


@dataclass(frozen=True, slots=True)
class Framing:
    """A station's choice: all of the picture with bars (letterbox), all of it distorted, or its centre alone.

    With tiles it is a letterbox of two or three times the side, cut into four or nine that each fill the backbone: for
    defects that are too small once the whole picture is shrunk.

    Sizes are (height, width) in pixels, grids (rows, columns). Bars repeat the picture's edge, since a bar of one
    colour would give every picture an edge that no part has.
    """

    kind: stations.FramingKind = "letterbox"

    def __str__(self) -> str:
        return self.kind

    @property
    def identity(self) -> str:
        """What model ids hold of it: pictures that are resized in another way have other scores."""
        return self.kind if self.kind == "centre_crop" else f"{self.kind}, resized by torch"

    @property
    def tiles(self) -> int:
        """Tiles along each side; 1 where the picture stays whole."""
        return TILES.get(self.kind, 1)

    @property
    def has_padding(self) -> bool:
        """Whether there are bars that can be left out; tiles are cut from a frame with its bars."""
        return self.kind == "letterbox"

    def target_size(self, height: int, width: int, size: tuple[int, int]) -> tuple[int, int]:
        """The height and width a picture of that shape needs to fill a network's `size` sharply."""
        _, _, rows, columns = self.placement(height, width, (size[0] * self.tiles, size[1] * self.tiles))
        return round(rows * OVERSAMPLING), round(columns * OVERSAMPLING)

    @lru_cache(SHAPE_CACHE_SIZE)  # noqa: B019  framings are few, and a station's pictures mostly have one shape
    def valid_mask(self, height: int, width: int, size: tuple[int, int], grid: tuple[int, int]) -> CellMask:
        """Which cells of a framed picture's grid have their centre in the picture, not in a bar; at least one has.

        height, width: the picture's. Shared, and so not to be written to.
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

    def over_picture(self, framed_map: AnomalyMap, picture: RgbImage) -> AnomalyMap:
        """`over` a picture that is at hand."""
        return self.over(framed_map, picture.shape[0], picture.shape[1])

    def over(self, framed_map: AnomalyMap, picture_height: int, picture_width: int) -> AnomalyMap:
        """Bring a map over a framed picture, of square cells, to the coordinates of the whole picture.

        Cells keep about their size, values are interpolated between cell centres; NaN where the picture was cut off.
        """
        by_row, by_column, unseen = self._sampling(picture_height, picture_width, framed_map.shape)
        sampled: AnomalyMap = (by_row @ framed_map.astype(np.float64) @ by_column.T).astype(np.float32)
        sampled[unseen] = np.nan
        return sampled

    @lru_cache(SHAPE_CACHE_SIZE)  # noqa: B019  as above
    def _sampling(
        self, picture_height: int, picture_width: int, grid: tuple[int, int]
    ) -> tuple[Matrix, Matrix, CellMask]:
        """What a map is multiplied by on either side, and where the framed picture shows nothing."""
        size = grid[0] * CELL_PX, grid[1] * CELL_PX
        top, left, height, width = self.placement(picture_height, picture_width, size)
        rows, columns = _cells(height / CELL_PX), _cells(width / CELL_PX)
        y = (top + (np.arange(rows) + 0.5) / rows * height) / CELL_PX
        x = (left + (np.arange(columns) + 0.5) / columns * width) / CELL_PX
        seen = _inside(y, 0, grid[0])[:, None] & _inside(x, 0, grid[1])[None, :]
        return _interpolating(grid[0], y), _interpolating(grid[1], x), ~seen

    def placement(self, height: int, width: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Return top, left, height and width, in pixels, of the whole scaled image within a frame of `size`.

        Top and left are negative where the image is cut off.
        """
        if self.kind == "stretch":
            return 0, 0, *size
        shares = size[0] / height, size[1] / width
        scale = max(shares) if self.kind == "centre_crop" else min(shares)
        scaled = max(1, round(height * scale)), max(1, round(width * scale))
        return (size[0] - scaled[0]) // 2, (size[1] - scaled[1]) // 2, *scaled


def _stretch(seen: CellMask) -> tuple[int, int]:
    """The first of the cells along a side that are seen, and the first after them; `MIN_CELLS` or all."""
    first, after = int(seen.argmax()), len(seen) - int(seen[::-1].argmax())
    wanted = min(len(seen), max(after - first, MIN_CELLS))
    first = min(max(0, first - (wanted - (after - first)) // 2), len(seen) - wanted)
    return first, first + wanted


def _inside(places: npt.NDArray[np.float64], start: float, length: float) -> CellMask:
    inside = (places >= start) & (places < start + length)
    if not inside.any():  # the picture is thinner than a cell: the cell it lies in stands for it
        inside[np.abs(places - (start + length / 2)).argmin()] = True
    return inside


def _cells(number: float) -> int:
    return min(MAX_MAP_SIDE, max(1, round(number)))


def _interpolating(cells: int, places: Matrix) -> Matrix:
    """(places, cells): the weights that make of so many values the linear ones between at `places` in cells.

    Beyond the centres of the first and the last cell their values go on.
    """
    centred = np.clip(places - 0.5, 0, cells - 1)
    low = np.minimum(centred.astype(int), max(0, cells - 2))
    share = centred - low
    weights = np.zeros((len(places), cells))
    of_place = np.arange(len(places))
    weights[of_place, low] = 1 - share
    weights[of_place, np.minimum(low + 1, cells - 1)] += share
    return weights
