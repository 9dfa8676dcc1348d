"""Decode the JPEGs that most cameras send in one call, which releases the GIL.

Other JPEGs (EXIF of a rotated camera, CMYK, a damaged stream) are left to Pillow, which decodes or rejects them.
Both use libjpeg-turbo, so this is a faster way to the same pixels, never to another result.
"""

import numpy as np
import simplejpeg

from imaging.rgb import RgbImage

START_OF_IMAGE = b"\xff\xd8"
START_OF_SCAN, EXIF_SEGMENT = 0xDA, 0xE1
MARKERS_WITH_LENGTH = frozenset([*range(0xC0, 0xD0), *range(0xDA, 0xFF)])
"""Markers whose segment states its length (ITU-T T.81, table B.1); others, and fill bytes, are not plain."""
PLAIN_COLOUR_SPACES = frozenset(("YCbCr", "Gray"))
SCALES = (8, 4, 2, 1)


def plain_jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return height and width from the header of a plain JPEG; None for anything else."""
    if not data.startswith(START_OF_IMAGE) or _has_exif(data):
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:  # Pillow reports the error
        return None
    return (height, width) if colours in PLAIN_COLOUR_SPACES else None


def decode_plain_jpeg(data: bytes, size: tuple[int, int], target: tuple[int, int]) -> RgbImage | None:
    """Decode a plain JPEG of `size` at 1, ½, ¼ or ⅛ of it, never below `target`; None where the stream is damaged.

    Sizes are (height, width) in pixels.
    """
    scale = next(by for by in SCALES if by == 1 or (size[0] // by >= target[0] and size[1] // by >= target[1]))
    height, width = (-(-side // scale) for side in size)
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, "RGB", min_height=height, min_width=width, min_factor=scale))
    except ValueError:
        return None


def _has_exif(data: bytes) -> bool:
    """Return whether a segment before the first scan is EXIF, or not plain."""
    offset = len(START_OF_IMAGE)
    while len(head := data[offset : offset + 10]) == 10 and head[0] == 0xFF and head[1] in MARKERS_WITH_LENGTH:
        if head[1] == START_OF_SCAN:
            return False
        if head[1] == EXIF_SEGMENT and head[4:] == b"Exif\0\0":
            return True
        offset += 2 + int.from_bytes(head[2:4], "big")
    return True
