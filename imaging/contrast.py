"""Tell an image that shows nothing from one that shows something."""

import numpy as np

from imaging.rgb import RgbImage

BLANK_LEVELS = 8
"""A picture whose grey levels span no more than this, of 255, shows nothing but the sensor's noise."""

OUTER_PERCENT = 0.1
"""Percent of the pixels at either end that do not count: dead ones, and a time stamp."""


def is_blank(pixels: RgbImage) -> bool:
    """Return whether an image has no contrast: all black, all white, or covered."""
    grey = pixels.mean(axis=2, dtype=np.float32)
    low, high = np.percentile(grey, (OUTER_PERCENT, 100 - OUTER_PERCENT))
    return bool(high - low <= BLANK_LEVELS)


def describe_blank(pixels: RgbImage) -> str:
    """Return the sentence for a person about a blank image."""
    return f"it is blank: its pixels lie around {pixels.mean():.0f} of 255, and nothing can be seen on it."
