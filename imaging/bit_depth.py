"""Bring samples of 16 bits to 8 by the number of bits that the camera fills."""

from typing import Final

import numpy as np
import numpy.typing as npt

from imaging.errors import BadImage

BIT_DEPTHS: Final = (8, 10, 12, 14, 16)
"""The depths of cameras; samples of 10 to 14 bits travel in words of 16."""

SampleArray = npt.NDArray[np.uint16]
ByteArray = npt.NDArray[np.uint8]


def smallest_bit_depth(largest_sample: int) -> int:
    """Return the smallest depth of a camera that holds this sample."""
    return next(depth for depth in BIT_DEPTHS if largest_sample < 1 << depth)


def require_within(largest_sample: int, depth: int) -> None:
    """Raise `BadImage` (``exceeds-bit-depth``) where a sample needs more bits: to clip it would hide what it shows."""
    if largest_sample >> depth:
        raise BadImage(
            "exceeds-bit-depth",
            f"The image has samples up to {largest_sample}, and the station's bit depth of {depth} ends at "
            f"{(1 << depth) - 1}; add normals of this camera, or set the station's bit depth.",
        )


def to_eight_bits(samples: SampleArray, depth: int) -> ByteArray:
    """Return the upper 8 of `depth` bits, 8 to 16; larger samples are 255."""
    return np.asarray(np.minimum(samples >> np.uint16(depth - 8), 255), dtype=np.uint8)
