"""Bring an image to a network's size on the processor: torch for whole images, Pillow for centre crops."""

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from imaging.rgb import RgbImage
from scorer.imaging.framing import Framing


def frame_image(framing: Framing, image: RgbImage, size: tuple[int, int]) -> RgbImage:
    """Return the image scaled, padded or cropped to `size`, (*size, 3) uint8; shrinking averages.

    Padding repeats the edge of the image.
    """
    height, width, _ = image.shape
    top, left, scaled_height, scaled_width = framing.placement(height, width, size)
    if framing.kind == "centre_crop":
        return _crop_and_resize(image, size, (top, left, scaled_height, scaled_width))
    scaled = _resize(image, (scaled_height, scaled_width))
    if (scaled_height, scaled_width) == size:
        return scaled
    framed = np.empty((*size, 3), np.uint8)
    bottom, right = top + scaled_height, left + scaled_width
    framed[top:bottom, left:right] = scaled
    framed[:top, left:right], framed[bottom:, left:right] = scaled[0], scaled[-1]
    framed[:, :left], framed[:, right:] = framed[:, left : left + 1], framed[:, right - 1 : right]
    return framed


def _crop_and_resize(image: RgbImage, size: tuple[int, int], placement: tuple[int, int, int, int]) -> RgbImage:
    """Scale only the part that stays, so that a strip of 1 × 40,000 pixels never becomes a giant.

    Pillow resizes as CLIP's own preprocessing does; the golden outputs pin its values.
    """
    top, left, height, width = placement
    y_ratio, x_ratio = image.shape[0] / height, image.shape[1] / width
    box = (-left * x_ratio, -top * y_ratio, (size[1] - left) * x_ratio, (size[0] - top) * y_ratio)
    scaled = Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    return np.asarray(scaled)


def _resize(image: RgbImage, size: tuple[int, int]) -> RgbImage:
    """Resize with torch, which takes a quarter of Pillow's time; values differ by a grey level or two at most."""
    writable = torch.from_numpy(image if image.flags.writeable else image.copy())
    pixels = writable[None].permute(0, 3, 1, 2)  # (1, 3, H, W), channels last in memory, torch's fast path
    scaled = functional.interpolate(pixels, size, mode="bicubic", antialias=True)
    return scaled[0].permute(1, 2, 0).contiguous().numpy()  # (H, W, 3)
