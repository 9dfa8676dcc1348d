"""What a mask ignores of an image: no pixel of it is left, and no cell of it counts."""

from typing import get_args

import numpy as np
import pytest

from scorer.imaging.framing import Framing
from scorer.imaging.masking import ignored_after_rotation, inspected_cells, without_ignored
from storage.areas.masks import Mask
from storage.line.stations import FramingKind

UPPER_LEFT = Mask(ignored=(((0.0, 0.0), (0.5, 0.0), (0.5, 0.5), (0.0, 0.5)),))


def test_ignored_pixels_take_the_mean_colour_of_the_others() -> None:
    image = np.full((10, 20, 3), 40, np.uint8)
    image[:5, :10] = 200
    painted = without_ignored(image, UPPER_LEFT.ignored_pixels(10, 20))
    assert set(painted.reshape(-1, 3).tolist()[0]) == {40}
    assert (painted == 40).all()
    assert image[0, 0, 0] == 200


def test_a_region_of_interest_ignores_the_rest() -> None:
    inside = Mask(region_of_interest=UPPER_LEFT.ignored).ignored_pixels(100, 100)
    assert (inside == ~UPPER_LEFT.ignored_pixels(100, 100)).all()


@pytest.mark.parametrize("framing", get_args(FramingKind))
def test_a_quarter_of_a_square_picture_is_a_quarter_of_its_cells(framing: FramingKind) -> None:
    cells = inspected_cells(UPPER_LEFT.ignored_pixels(96, 96), Framing(framing), (160, 160), (10, 10))
    assert not cells[:5, :5].any()
    assert cells.sum() == 75


def test_a_mask_follows_the_picture_into_its_letterbox() -> None:
    cells = inspected_cells(UPPER_LEFT.ignored_pixels(60, 120), Framing("letterbox"), (160, 160), (8, 8))
    assert not cells[2:4, :4].any()
    assert cells[4:6].all()
    assert cells[2:4, 4:].all()


def test_a_mask_turns_with_its_picture() -> None:
    turned = ignored_after_rotation(
        UPPER_LEFT.ignored_pixels(40, 80), 90
    )  # counter-clockwise: upper left to lower left
    assert turned.shape == (80, 40)
    assert turned[40:, :20].all()
    assert turned.sum() == 40 * 20
