"""Pictures are measured by hand-made images, and what is no picture of a part never counts as one."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.quality.picture_problem import EXPLANATIONS, PictureProblem, explain, reported_problem
from imaging.quality.picture_quality import PictureLimits, PictureStatistics, find_problem, measure
from imaging.rgb import RgbImage
from testing.line import part

NORMAL = PictureStatistics(
    brightness=100.0, contrast=40.0, sharpness=0.5, dark_share=0.1, bright_share=0.0, uniform_share=0.2
)
LIMITS = PictureLimits.from_normals([NORMAL])


def grey(height: int, width: int, level: int) -> RgbImage:
    return np.full((height, width, 3), level, np.uint8)


@pytest.mark.parametrize("level", [0, 1, 127, 254, 255])
def test_a_uniform_image_has_its_level_and_nothing_else(level: int) -> None:
    assert measure(grey(90, 200, level)) == PictureStatistics(
        brightness=level,
        contrast=0,
        sharpness=0,
        dark_share=float(level <= 1),
        bright_share=float(level >= 254),
        uniform_share=float(1 < level < 254),
    )


def test_a_half_black_and_half_white_image_is_measured_as_by_hand() -> None:
    image = grey(128, 128, 0)
    image[:, 64:] = 255
    # one edge: it lies within 1 step of 63 to the right, and within 4 of 60 that go over four cells
    found = measure(image)
    assert found.sharpness == pytest.approx((1 / 63 / (4 / 60)) ** 0.5)
    assert found == PictureStatistics(
        brightness=127.5,
        contrast=127.5,
        sharpness=found.sharpness,
        dark_share=0.5,
        bright_share=0.5,
        uniform_share=0,  # every column is, but clipped
    )


def test_a_coloured_image_is_as_bright_as_twice_its_green_and_once_the_others() -> None:
    image = grey(128, 128, 0)
    image[:] = (40, 80, 120)
    assert measure(image).brightness == 80


@given(st.integers(8, 300), st.integers(8, 300))
def test_images_of_every_shape_are_measured(height: int, width: int) -> None:
    image = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    found = measure(image)
    assert 90 < found.brightness < 165
    assert found == measure(np.asfortranarray(image))


def test_the_exposure_changes_brightness_and_contrast_but_not_sharpness() -> None:
    image = part(1, size=(256, 256))
    full, half = measure(image), measure(image // 2)
    assert half.brightness == pytest.approx(full.brightness / 2, abs=1)
    assert half.contrast == pytest.approx(full.contrast / 2, rel=0.05)
    assert half.sharpness == pytest.approx(full.sharpness, rel=0.05)


def test_a_station_that_is_always_soft_has_a_lower_limit_and_a_dark_one_can_be_overexposed() -> None:
    limits = PictureLimits.from_normals([replace(NORMAL, sharpness=0.4), replace(NORMAL, brightness=20.0)])
    assert (limits.min_sharpness, limits.max_brightness) == (0.85 * 0.4, 5 * 60.0)
    dark = PictureLimits.from_normals([replace(NORMAL, brightness=20.0)])
    assert find_problem(replace(NORMAL, brightness=101.0), dark) is PictureProblem.OVEREXPOSED


def test_the_order_of_normals_does_not_matter_and_each_is_within_the_limits() -> None:
    normals = [measure(part(number)) for number in range(4)]
    limits = PictureLimits.from_normals(normals)
    assert limits == PictureLimits.from_normals(normals[::-1])
    assert [find_problem(normal, limits) for normal in normals] == [None] * 4


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, None),
        ({"contrast": 0.9}, PictureProblem.BLANK),
        ({"uniform_share": 0.55}, PictureProblem.INCOMPLETE),
        ({"brightness": 25.0, "contrast": 12.0}, PictureProblem.DARK),
        ({"brightness": 25.0}, None),  # a dark part in a picture with all its contrast
        ({"dark_share": 0.9}, PictureProblem.DARK),
        ({"bright_share": 0.9}, PictureProblem.OVEREXPOSED),
        ({"contrast": 7.0}, PictureProblem.LOW_CONTRAST),
        ({"sharpness": 0.34}, PictureProblem.BLURRED),
        ({"brightness": 140.0, "contrast": 30.0, "sharpness": 0.36, "dark_share": 0.5, "uniform_share": 0.4}, None),
    ],
)
def test_a_picture_beyond_a_limit_is_bad_for_one_reason(
    change: dict[str, float], problem: PictureProblem | None
) -> None:
    assert find_problem(replace(NORMAL, **change), LIMITS) is problem


@given(
    level=st.integers(0, 255),
    height=st.integers(8, 200),
    width=st.integers(8, 200),
    seed=st.integers(0, 99),
    normals=st.lists(st.integers(0, 50), min_size=2, max_size=4),
)
def test_a_picture_without_contrast_is_never_judged(
    level: int, height: int, width: int, seed: int, normals: list[int]
) -> None:
    noise = np.random.default_rng(seed).integers(-1, 2, (height, width, 1))
    image = np.clip(level + noise, 0, 255).astype(np.uint8).repeat(3, axis=2)
    blank = [grey(64, 64, number) for number in normals]  # a normal set that should not have been accepted
    for learnt_from in (blank, [part(number) for number in normals]):
        limits = PictureLimits.from_normals([measure(normal) for normal in learnt_from])
        assert find_problem(measure(image), limits) is PictureProblem.BLANK


def test_every_problem_tells_people_what_to_do_and_unknown_ones_are_reported() -> None:
    assert EXPLANATIONS.keys() == set(PictureProblem)
    assert reported_problem("damaged") is PictureProblem.DAMAGED
    assert reported_problem("of a later version") is PictureProblem.REPORTED
    assert explain("of a later version") == EXPLANATIONS[PictureProblem.REPORTED]
    assert max(len(problem) for problem in PictureProblem) <= 40  # as wide as the column
