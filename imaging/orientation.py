"""The orientation that a file's metadata states, and turning pixels upright by it (CIPA DC-008, tag 274)."""

import re
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from imaging.pillow_warnings import suppress_pillow_warnings

ORIENTATION_TAG = 0x0112
UPRIGHT = 1

# As an attribute or an element, in either quotes: XMP specification part 1, 7.
_IN_XMP = re.compile(rb"""\bOrientation\s*(?:=\s*["']|>)\s*([1-8])\s*["'<]""")


def exif_orientation(image: Image.Image) -> int | None:
    """Return the orientation, 1 to 8, of an opened image's EXIF, else of its XMP; None where neither says any.

    A PNG is decoded by this, because its metadata may follow the pixels. Unreadable metadata say nothing: the pixels
    are what is inspected, and they may be fine.
    """
    try:
        stated = image.getexif().get(ORIENTATION_TAG)
    except (SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OSError, struct.error):
        stated = None
    return _valid(stated) or xmp_orientation(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b"")


def exif_segment_orientation(segment: bytes) -> int | None:
    """Return the orientation of encoded EXIF, or None where it says none."""
    exif = Image.Exif()
    try:
        with suppress_pillow_warnings():
            exif.load(segment)
            return _valid(exif.get(ORIENTATION_TAG))
    except (SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OSError, struct.error):
        return None


def xmp_orientation(packet: Any) -> int | None:
    """Return tiff:Orientation of an XMP packet, str or bytes of any Unicode encoding; None where it has none."""
    text = packet.encode(errors="replace") if isinstance(packet, str) else packet
    found = _IN_XMP.search(text.replace(b"\0", b"")) if isinstance(text, bytes) else None
    return None if found is None else int(found[1])


def is_transposed(orientation: int) -> bool:
    """Return whether upright rows are columns of the file."""
    return orientation >= 5


def upright(pixels: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint8]:
    """Return the image upright, (height, width, channels) contiguous."""
    if is_transposed(orientation):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _valid(value: object) -> int | None:
    return value if isinstance(value, int) and 1 <= value <= 8 else None
