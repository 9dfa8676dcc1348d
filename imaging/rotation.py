"""Rotate an image about its centre."""

import numpy as np
from PIL import Image

from imaging.rgb import RgbImage


def rotate(image: RgbImage, degrees: int) -> RgbImage:
    """Return the image rotated counter-clockwise; pixels from outside it repeat the edge.

    The shape stays, but for quarter turns of images that are not square, whose sides are exchanged.
    """
    if degrees % 360 == 0:
        return image
    if degrees % 90 == 0:
        return np.ascontiguousarray(np.rot90(image, degrees // 90))
    height, width, _ = image.shape
    margin = int(np.ceil((np.hypot(height, width) - min(height, width)) / 2)) + 1
    padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    rotated = Image.fromarray(padded).rotate(degrees, Image.Resampling.BILINEAR)
    return np.asarray(rotated)[margin : margin + height, margin : margin + width]
