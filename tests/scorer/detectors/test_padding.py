"""A backbone that takes any number of cells does not encode a letterbox's padding (docs/adr/0030)."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.backbones.preprocessing import Preprocessor
from scorer.backbones.protocol import PatchBackbone, scatter_to_grid
from scorer.backbones.tiny import TinyBackbone, load_tiny
from scorer.detectors.nearest_patch import NearestPatch
from scorer.detectors.patch_based.detector import PatchDetector
from scorer.imaging.framing import CellBox, Framing
from storage.line.stations import FramingKind
from testing.line import part

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
SIZE, GRID = (256, 256), (16, 16)


@pytest.fixture(scope="module")
def tiny() -> TinyBackbone:
    return load_tiny()


def detector_on(backbone: PatchBackbone, kind: FramingKind = "letterbox") -> PatchDetector:
    return PatchDetector(NearestPatch(), backbone, Framing(kind))


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ((960, 1280), CellBox(2, 14, 0, 16)),  # a 4:3 camera: a quarter of the square is padding
        ((1080, 1920), CellBox(3, 12, 0, 16)),  # 16:9 fills 144 of 256 rows, starting at row 56: 9 cells
        ((300, 200), CellBox(0, 16, 3, 13)),
        ((256, 256), CellBox(0, 16, 0, 16)),
        ((9, 5000), CellBox(6, 10, 0, 16)),  # one pixel high, in row 7: at least four cells, some of them padding
        ((5000, 1200), CellBox(0, 16, 6, 10)),
        ((5000, 900), CellBox(0, 16, 6, 10)),  # two columns, starting at 7
    ],
)
def test_only_cells_of_the_image_are_encoded(shape: tuple[int, int], box: CellBox) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    whole = Preprocessor(Framing("letterbox"), SIZE, GRID, CPU).prepare(image)
    framed = Preprocessor(Framing("letterbox"), SIZE, GRID, CPU, crop_padding=True).prepare(image)
    assert framed.box == box
    assert framed.cells.sum() == framed.cells[box.rows, box.columns].sum()
    pixels = box.of_pixels(16, 16)
    assert (framed.tiles[0] == whole.tiles[0][pixels.rows, pixels.columns]).all()
    assert (framed.height, framed.width) == shape


@pytest.mark.parametrize("kind", ["stretch", "centre_crop", "tiles_2"])
def test_other_framings_are_not_cropped(kind: FramingKind) -> None:
    framed = Preprocessor(Framing(kind), SIZE, GRID, CPU, crop_padding=True).prepare(part(1, size=(60, 80)))
    assert framed.box is None
    assert framed.tiles.shape[1:] == (*SIZE, 3)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_tokens_are_scattered_into_the_box_and_zero_elsewhere(data: st.DataObject) -> None:
    grid = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    top, left = (data.draw(st.integers(0, side - 1)) for side in grid)
    bottom, right = data.draw(st.integers(top + 1, grid[0])), data.draw(st.integers(left + 1, grid[1]))
    cells = (bottom - top) * (right - left)
    layers = [torch.rand(2, cells, width) + 1 for width in (5, 3)]
    tokens = scatter_to_grid(layers, CellBox(top, bottom, left, right), grid)
    assert tokens.shape == (2, 2, grid[0] * grid[1], 5)
    for placed, layer in zip(tokens, layers, strict=True):
        cells_of_box = [row * grid[1] + column for row in range(top, bottom) for column in range(left, right)]
        assert torch.equal(placed[:, cells_of_box, : layer.shape[2]], layer)
        assert placed.sum() == pytest.approx(float(layer.sum()))


def test_tokens_far_from_the_padding_are_unchanged(tiny: TinyBackbone) -> None:
    """The receptive field of a cell is a few cells wide: padding further away does not change its tokens."""
    square = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (1, 3, 256, 256), dtype=np.uint8))
    box = CellBox(2, 14, 0, 16)
    whole = tiny.tokens(square).view(2, 16, 16, 256)
    within = tiny.tokens_within(square[:, :, 32:224], box).view(2, 16, 16, 256)
    assert (within[:, :2] == 0).all()
    assert (within[:, 14:] == 0).all()
    cosines = torch.nn.functional.cosine_similarity(whole, within, dim=3)
    torch.testing.assert_close(cosines[:, 7:9], torch.ones(2, 2, 16), atol=2e-3, rtol=0)
    torch.testing.assert_close(tiny.tokens_within(square, CellBox(0, 16, 0, 16)), tiny.tokens(square), atol=0, rtol=0)


def test_images_of_several_shapes_are_encoded_in_one_batch(tiny: TinyBackbone) -> None:
    model = detector_on(tiny)
    sizes = [(60, 80), (80, 60), (60, 80), (80, 80), (8, 400), (80, 60)]
    images = [part(number, size=size) for number, size in enumerate(sizes)]
    batch = model.encode_images(images)
    for position, image in enumerate(images):
        single = model.encode_images([image])
        torch.testing.assert_close(batch.tokens[:, [position]], single.tokens, atol=1e-5, rtol=1e-5)
        assert torch.equal(batch.valid_mask[[position]], single.valid_mask)


def test_a_defect_next_to_padding_is_localised(tiny: TinyBackbone) -> None:
    model = detector_on(tiny)
    references = model.references([part(number, size=(192, 256)) for number in range(3)], "part")
    defective = part(9, size=(192, 256))
    # The last row of cells above the lower padding, columns 7 and 8.
    defective[176:, 112:144] = 255 - defective[176:, 112:144]
    scores = model.score([defective], references)
    row, column = divmod(int(scores.anomaly_maps[0].argmax()), 16)
    assert abs(row - 13) <= 1
    assert column in range(6, 10)
    assert (scores.anomaly_maps[0, :2] == 0).all()
    assert (scores.anomaly_maps[0, 14:] == 0).all()


class WithoutCropping:
    """The same backbone, without the method that encodes part of a square."""

    def __init__(self, tiny: TinyBackbone) -> None:
        self.name, self.weights_sha256, self.configuration = tiny.name, tiny.weights_sha256, tiny.configuration
        self.size, self.grid, self.device, self.tokens = tiny.size, tiny.grid, tiny.device, tiny.tokens


def test_the_model_id_depends_on_padding_cropping(tiny: TinyBackbone) -> None:
    assert detector_on(WithoutCropping(tiny)).model_id != detector_on(tiny).model_id
    assert detector_on(WithoutCropping(tiny), "stretch").model_id == detector_on(tiny, "stretch").model_id
