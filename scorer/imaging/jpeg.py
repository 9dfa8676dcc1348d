"""The JPEGs that most cameras send, from bytes to pixels in one call that lets go of Python's lock.

What is anything but plain (a turned camera's EXIF, CMYK, an unclean stream) is left to Pillow, which then decides what
becomes of it: both are libjpeg-turbo, so this is a quicker way to the same pixels, never to another answer.
"""

import numpy as np
import simplejpeg

from scorer.imaging.rgb import RgbImage

START_OF_IMAGE = b"\xff\xd8"
START_OF_SCAN, EXIF_SEGMENT = 0xDA, 0xE1
MARKERS_WITH_LENGTH = frozenset([*range(0xC0, 0xD0), *range(0xDA, 0xFF)])
"""Markers whose segment says how long it is (ITU-T T.81, table B.1); others, and fill bytes, are not plain."""
PLAIN_COLOUR_SPACES = frozenset(("YCbCr", "Gray"))
SCALES = (8, 4, 2, 1)


def plain_jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Height and width that a plain JPEG's header says, None for anything else."""
    if not data.startswith(START_OF_IMAGE) or _has_exif(data):
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:  # Pillow will say what is wrong
        return None
    return (height, width) if colours in PLAIN_COLOUR_SPACES else None


def decode_plain_jpeg(data: bytes, size: tuple[int, int], enough: tuple[int, int]) -> "RgbImage | None":
    """RGB of a plain JPEG of `size`, at 1, ½, ¼ or ⅛ of it and never below `enough`; None where not all was clean."""
    scale = next(one for one in SCALES if one == 1 or (size[0] // one >= enough[0] and size[1] // one >= enough[1]))
    height, width = (-(-side // scale) for side in size)
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, "RGB", min_height=height, min_width=width, min_factor=scale))
    except ValueError:
        return None


def _has_exif(data: bytes) -> bool:
    """Whether a segment before the first scan says how the camera was held; also where that is not plain."""
    place = len(START_OF_IMAGE)
    while len(head := data[place : place + 10]) == 10 and head[0] == 0xFF and head[1] in MARKERS_WITH_LENGTH:
        if head[1] == START_OF_SCAN:
            return False
        if head[1] == EXIF_SEGMENT and head[4:] == b"Exif\0\0":
            return True
        place += 2 + int.from_bytes(head[2:4], "big")
    return True
