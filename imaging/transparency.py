"""Compose transparent images on white, unless their alpha hides what the camera saw."""

import numpy as np
import numpy.typing as npt

from imaging.rgb import RgbImage

BARELY_VISIBLE = 16
"""Alpha below this, of 255, leaves a sixteenth of the contrast or less."""

HIDDEN_SHARE = 0.999
"""An alpha that hides this share of the pixels cuts nothing out: its byte was never filled."""


def opaque(pixels: npt.NDArray[np.uint8], *, is_premultiplied: bool = False) -> RgbImage:
    """Return an image as RGB: composited on white, or its colours as they are where alpha hides nearly all of it.

    Cameras and frame grabbers that write 32 bits per pixel often leave the fourth byte 0, or a little above.
    Composited, every part would be the same pure white.

    Args:
        pixels: (height, width, channels) uint8: grey, grey and alpha, RGB, or RGB and alpha.
        is_premultiplied: Whether the colours are multiplied by alpha already.
    """
    channels = pixels.shape[2]
    colours = pixels[..., : 1 if channels <= 2 else 3]
    if channels in (2, 4) and not hides_all(alpha := pixels[..., -1]) and int(alpha.min()) < 255:
        colours = _on_white(colours, alpha, is_premultiplied=is_premultiplied)
    return np.repeat(colours, 3, axis=2) if colours.shape[2] == 1 else np.ascontiguousarray(colours)


def hides_all(alpha: npt.NDArray[np.uint8]) -> bool:
    """Return whether at least 999 of 1000 pixels are barely visible or not at all."""
    return int(np.count_nonzero(alpha >= BARELY_VISIBLE)) <= (1 - HIDDEN_SHARE) * alpha.size


def _on_white(
    colours: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8], *, is_premultiplied: bool
) -> npt.NDArray[np.uint8]:
    covered = alpha[..., None].astype(np.uint32)
    shown = colours * np.uint32(255) if is_premultiplied else colours * covered
    composited = np.minimum((shown + (255 - covered) * 255 + 127) // 255, 255)
    return np.asarray(composited, dtype=np.uint8)
