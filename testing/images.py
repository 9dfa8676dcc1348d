"""Small images for tests that need any."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def png(seed: int, size: int = 32) -> bytes:
    """Return a PNG of grey noise; the same seed gives the same bytes."""
    pixels = np.random.default_rng(seed).integers(90, 160, (size, size, 3), dtype=np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG")
    return encoded.getvalue()


@pytest.fixture
def good_folder(tmp_path: Path) -> Path:
    """Create a folder of eight different images, good0.png to good7.png."""
    folder = tmp_path / "good"
    folder.mkdir()
    for number in range(8):
        (folder / f"good{number}.png").write_bytes(png(number))
    return folder
