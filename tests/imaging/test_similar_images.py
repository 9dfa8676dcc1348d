"""Near-duplicates and outliers among the good parts of the simulated lines."""

import io

import numpy as np
import pytest
from PIL import Image

from imaging import similar_images
from imaging.decode import decode
from imaging.limits import ImageLimits
from imaging.similar_images import Fingerprint
from ingest.sources.simulated import SCENES, normals


def fingerprint(data: bytes) -> Fingerprint:
    return similar_images.fingerprint(decode(data, ImageLimits()).pixels)


def again(data: bytes, chance: np.random.Generator) -> bytes:
    """The same part taken once more: other noise, 3 % more light, encode as JPEG."""
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=np.float64)
    buffer = io.BytesIO()
    noisy = (1.03 * pixels + chance.normal(0, 3, pixels.shape)).clip(0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


@pytest.mark.parametrize("scene", sorted(SCENES))
def test_a_part_photographed_twice_is_found_and_no_other_pair_is(scene: str) -> None:
    pictures = normals(scene, 12)
    looks = {f"good-{number}": fingerprint(data) for number, data in enumerate(pictures)}
    assert similar_images.near_duplicates(looks) == []
    twice = looks | {"again": fingerprint(again(pictures[3], np.random.default_rng(0)))}
    assert similar_images.near_duplicates(twice) == [("good-3", "again")]


def test_an_image_of_something_else_is_an_outlier_by_its_pixels() -> None:
    looks = {f"coin-{number}": fingerprint(data) for number, data in enumerate(normals("coins", 8))}
    assert similar_images.outliers(similar_images.distances_from_median(looks)) == []
    looks["brick"] = fingerprint(normals("brick", 2)[0])
    assert similar_images.outliers(similar_images.distances_from_median(looks)) == ["brick"]


def test_a_score_far_above_the_others_is_an_outlier_and_one_far_below_is_not() -> None:
    # median 0.21, median distance from it 0.01: 0.81 lies 0.6745 * 0.60 / 0.01 = 40 deviations above
    assert similar_images.outliers({"a": 0.20, "b": 0.21, "c": 0.22, "d": 0.81, "e": 0.01, "f": 0.205}) == ["d"]
    assert similar_images.outliers({"a": 0.1, "b": 0.1, "c": 0.9}) == []  # too few to decide
    assert similar_images.outliers(dict.fromkeys("abcd", 0.3)) == []


def test_the_nearest_image_is_the_most_similar() -> None:
    coins, brick = normals("coins", 3), normals("brick", 2)
    looks = {
        "brick": fingerprint(brick[0]),
        "coin": fingerprint(coins[0]),
        "same": fingerprint(coins[1]),
    }
    assert similar_images.nearest(fingerprint(coins[1]), looks) == ["same", "coin", "brick"]


def test_two_images_alone_are_duplicates_only_when_they_are_identical() -> None:
    one, other = (fingerprint(data) for data in normals("coins", 2))
    assert similar_images.near_duplicates({"a": one, "b": other}) == []
    assert similar_images.near_duplicates({"a": one, "b": one}) == [("a", "b")]
    assert similar_images.duplicates_by_name(["a", "b", "c"], [("a", "b")]) == {"a": ["b"], "b": ["a"]}


def part(seed: int, *, is_defective: bool = False) -> Fingerprint:
    """A disc that is placed alike within a pixel, with noise; a defect is a dark line a third of the radius long."""
    draw = np.random.default_rng(seed)
    rows, columns = np.mgrid[:120, :160] - np.array([60, 80])[:, None, None] + draw.uniform(-1, 1, (2, 1, 1))
    grey = np.where(np.hypot(rows, columns) < 45, 170.0, 60.0)
    if is_defective:
        grey[(np.abs(rows - 20) < 1.5) & (columns > -25) & (columns < -10)] = 20
    pixels = (grey + draw.normal(0, 3, grey.shape)).clip(0, 255).astype(np.uint8)
    return similar_images.fingerprint(np.repeat(pixels[..., None], 3, axis=2))


@pytest.mark.parametrize("count", [4, 8, 24])
def test_one_defective_part_among_good_ones_is_named_and_no_good_one(count: int) -> None:
    good = {f"good-{number}": part(number) for number in range(count)}
    assert similar_images.odd_ones(good) == []
    assert similar_images.odd_ones(good | {"bad": part(99, is_defective=True)}) == ["bad"]


@pytest.mark.parametrize("scene", sorted(SCENES))
def test_another_kind_of_part_is_named_and_good_parts_of_a_line_are_not(scene: str) -> None:
    good = {f"good-{number}": fingerprint(data) for number, data in enumerate(normals(scene, 8))}
    assert similar_images.odd_ones(good) == []
    other = fingerprint(normals("brick" if scene != "brick" else "coins", 1)[0])
    assert similar_images.odd_ones(good | {"other": other}) == ["other"]


def test_among_three_none_is_odd() -> None:
    three = {"a": part(1), "b": part(2), "bad": part(99, is_defective=True)}
    assert similar_images.odd_ones(three) == []
