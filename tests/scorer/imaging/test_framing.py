"""Images of any shape are framed for a square model, and maps are mapped back to the image."""

import numpy as np
import pytest

from imaging.rgb import RgbImage
from scorer.backbones.image_resize import frame_image
from scorer.imaging.framing import Framing
from storage.line.stations import FramingKind

EIGHT = np.arange(64, dtype=np.float32).reshape(8, 8)


def blank(height: int, width: int) -> RgbImage:
    return np.full((height, width, 3), 100, np.uint8)


@pytest.mark.parametrize("kind", ["letterbox", "stretch", "centre_crop"])
@pytest.mark.parametrize("shape", [(64, 64), (50, 100), (300, 200), (9, 5000), (5000, 9)])
def test_every_shape_is_framed_and_a_uniform_image_stays_uniform(kind: FramingKind, shape: tuple[int, int]) -> None:
    framed = frame_image(Framing(kind), blank(*shape), (64, 96))
    assert framed.shape == (64, 96, 3)
    assert (framed == 100).all()


def test_a_square_map_of_a_square_image_is_unchanged() -> None:
    for kind in ("letterbox", "stretch", "centre_crop"):
        assert (Framing(kind).map_to_image(EIGHT, 100, 100) == EIGHT).all()


def test_letterbox_padding_is_not_valid() -> None:
    wide = blank(50, 100)
    cells = Framing("letterbox").valid_mask(*wide.shape[:2], (128, 128), (8, 8))
    assert cells[2:6].all()
    assert not cells[:2].any()
    assert not cells[6:].any()
    assert (Framing("letterbox").map_to_image(EIGHT, *wide.shape[:2]) == EIGHT[2:6]).all()


def test_cells_outside_a_centre_crop_are_nan() -> None:
    wide = blank(50, 100)
    mapped = Framing("centre_crop").map_to_image(EIGHT, *wide.shape[:2])
    assert mapped.shape == (8, 16)
    assert np.isnan(mapped[:, :4]).all()
    assert np.isnan(mapped[:, 12:]).all()
    assert (mapped[:, 4:12] == EIGHT).all()


def test_a_defect_keeps_its_position_after_framing_and_mapping_back() -> None:
    image = blank(90, 160)
    image[60:75, 20:40] = 255
    for kind in ("letterbox", "stretch"):
        framed = frame_image(Framing(kind), image, (128, 128)).mean(axis=2)
        cells = framed.reshape(8, 16, 8, 16).mean(axis=(1, 3)).astype(np.float32)
        mapped = Framing(kind).map_to_image(cells, *image.shape[:2])
        row, column = np.unravel_index(mapped.argmax(), mapped.shape)
        cell_height, cell_width = 90 / mapped.shape[0], 160 / mapped.shape[1]
        assert abs((row + 0.5) * cell_height - 67.5) < cell_height
        assert abs((column + 0.5) * cell_width - 30) < cell_width


@pytest.mark.parametrize("kind", ["letterbox", "centre_crop"])
def test_a_narrow_strip_has_at_least_one_valid_cell(kind: FramingKind) -> None:
    strip = blank(8, 20_000)
    assert Framing(kind).valid_mask(*strip.shape[:2], (64, 64), (8, 8)).any()
    assert not np.isnan(Framing(kind).map_to_image(EIGHT, *strip.shape[:2])).all()


def test_the_identity_of_a_framing_names_its_resizer() -> None:
    """Images that Pillow resized must not be compared with references of images that torch resized."""
    assert Framing("letterbox").identity == "letterbox, resized by torch"
    assert Framing("centre_crop").identity == "centre_crop"  # always by Pillow
