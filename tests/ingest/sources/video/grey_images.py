"""Plain grey images, whose level survives compression."""

import io

import numpy as np
from PIL import Image


def grey_image(level: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Return an image of one grey level, 0 to 255."""
    return Image.new("RGB", size, (level, level, level))


def grey_jpeg(level: int) -> bytes:
    """Return the same as JPEG."""
    written = io.BytesIO()
    grey_image(level).save(written, "JPEG", quality=80)
    return written.getvalue()


def mean_grey_level(image: bytes) -> float:
    """Return the mean grey level of an encoded image."""
    return float(np.asarray(Image.open(io.BytesIO(image))).mean())
