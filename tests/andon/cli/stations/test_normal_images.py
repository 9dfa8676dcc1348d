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
def andon_with_station(andon: Andon) -> Andon:
    andon("db", "upgrade")
    assert andon("station", "add", "s1", "--object", "bolt", "--framing", "tiles-2").code == 0
    return andon


def test_ten_thousand_images_are_refused_with_the_limit(andon_with_station: Andon, tmp_path: Path) -> None:
    image = png(0)
    many = tmp_path / "many"
    many.mkdir()
    for number in range(10_000):
        (many / f"{number:05}.png").write_bytes(image + number.to_bytes(4, "big"))
    finished = andon_with_station("normals", "add", "s1", many)
    assert finished.code == 1
    assert all(named in finished.err for named in ("10000", "64"))
    assert "--limit 64" in finished.err


def test_one_image_is_refused(andon_with_station: Andon, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "a.png").write_bytes(png(1))
    finished = andon_with_station("normals", "add", "s1", folder)
    assert finished.code == 1
    assert "2 to 64" in finished.err


def test_grey_and_colour_images_of_all_sizes_form_one_normal_set(andon_with_station: Andon, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "grey.png").write_bytes(png(1, (64, 48), "L"))
    (folder / "colour.png").write_bytes(png(2, (200, 300)))
    (folder / "small.png").write_bytes(png(3, (32, 40)))
    finished = andon_with_station("normals", "add", "s1", folder, "--activate")
    assert finished.code == 0
    assert "3 images" in finished.out
