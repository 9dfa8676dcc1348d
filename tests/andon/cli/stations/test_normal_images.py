"""Good images as users provide them: too few, far too many, grey ones, of all sizes."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from testing.command_line import Andon


def png(number: int, size: tuple[int, int] = (32, 32), mode: str = "RGB") -> bytes:
    channels = (3,) if mode == "RGB" else ()
    pixels = np.random.default_rng(number).integers(0, 256, (*size, *channels), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def s1(andon: Andon) -> Andon:
    andon("db", "upgrade")
    assert andon("station", "add", "s1", "--object", "bolt", "--framing", "tiles-2").code == 0
    return andon


def test_ten_thousand_images_are_refused_with_the_number_that_fits(s1: Andon, tmp_path: Path) -> None:
    whole = png(0)
    many = tmp_path / "many"
    many.mkdir()
    for number in range(10_000):
        (many / f"{number:05}.png").write_bytes(whole + number.to_bytes(4, "big"))
    said = s1("normals", "add", "s1", many)
    assert said.code == 1
    assert "10000 files are more than the 64 images" in said.err
    assert "--limit 64" in said.err


def test_one_image_is_refused(s1: Andon, tmp_path: Path) -> None:
    place = tmp_path / "one"
    place.mkdir()
    (place / "a.png").write_bytes(png(1))
    said = s1("normals", "add", "s1", place)
    assert said.code == 1
    assert "2 to 64 different images" in said.err


def test_grey_and_coloured_images_of_all_sizes_make_a_set_together(s1: Andon, tmp_path: Path) -> None:
    place = tmp_path / "mixed"
    place.mkdir()
    (place / "grey.png").write_bytes(png(1, (64, 48), "L"))
    (place / "colour.png").write_bytes(png(2, (200, 300)))
    (place / "small.png").write_bytes(png(3, (32, 40)))
    said = s1("normals", "add", "s1", place, "--activate")
    assert said.code == 0
    assert "3 images" in said.out
