"""Near-duplicates and outliers among the good parts of the simulated lines."""

import io

import numpy as np
import pytest
from PIL import Image

from dashboard.components import similar_images
from ingest.sources.simulated import SCENES, normals


def again(data: bytes, chance: np.random.Generator) -> bytes:
    """The same part taken once more: other noise, 3 % more light, saved as JPEG."""
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=np.float64)
    buffer = io.BytesIO()
    noisy = (1.03 * pixels + chance.normal(0, 3, pixels.shape)).clip(0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


@pytest.mark.parametrize("scene", sorted(SCENES))
def test_a_part_photographed_twice_is_found_and_no_other_pair_is(scene: str) -> None:
    pictures = normals(scene, 12)
    looks = {f"good-{number}": similar_images.fingerprint(data) for number, data in enumerate(pictures)}
    assert similar_images.near_duplicates(looks) == []
    twice = looks | {"again": similar_images.fingerprint(again(pictures[3], np.random.default_rng(0)))}
    assert similar_images.near_duplicates(twice) == [("good-3", "again")]


def test_an_image_of_something_else_is_an_outlier_by_its_pixels() -> None:
    looks = {f"coin-{number}": similar_images.fingerprint(data) for number, data in enumerate(normals("coins", 8))}
    assert similar_images.outliers(similar_images.distances_from_median(looks)) == []
    looks["brick"] = similar_images.fingerprint(normals("brick", 2)[0])
    assert similar_images.outliers(similar_images.distances_from_median(looks)) == ["brick"]


def test_a_score_far_above_the_others_is_an_outlier_and_one_far_below_is_not() -> None:
    # median 0.21, median distance from it 0.01: 0.81 lies 0.6745 * 0.60 / 0.01 = 40 deviations above
    assert similar_images.outliers({"a": 0.20, "b": 0.21, "c": 0.22, "d": 0.81, "e": 0.01, "f": 0.205}) == ["d"]
    assert similar_images.outliers({"a": 0.1, "b": 0.1, "c": 0.9}) == []  # too few to decide
    assert similar_images.outliers(dict.fromkeys("abcd", 0.3)) == []


def test_the_nearest_image_is_the_most_similar() -> None:
    coins, brick = normals("coins", 3), normals("brick", 2)
    looks = {
        "brick": similar_images.fingerprint(brick[0]),
        "coin": similar_images.fingerprint(coins[0]),
        "same": similar_images.fingerprint(coins[1]),
    }
    assert similar_images.nearest(similar_images.fingerprint(coins[1]), looks) == ["same", "coin", "brick"]


def test_two_images_alone_are_duplicates_only_when_they_are_identical() -> None:
    one, other = (similar_images.fingerprint(data) for data in normals("coins", 2))
    assert similar_images.near_duplicates({"a": one, "b": other}) == []
    assert similar_images.near_duplicates({"a": one, "b": one}) == [("a", "b")]
    assert similar_images.duplicates_by_name(["a", "b", "c"], [("a", "b")]) == {"a": ["b"], "b": ["a"]}


def test_bytes_that_are_no_image_have_no_fingerprint() -> None:
    with pytest.raises(ValueError, match="not an image"):
        similar_images.fingerprint(b"no picture")
