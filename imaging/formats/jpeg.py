"""Decode JPEGs in one call of libjpeg-turbo, which releases the GIL and reports what is damaged.

Pillow uses the same library but ignores its warnings, and fills what is missing with grey. So each JPEG is decoded
here first, and only odd ones (CMYK, fill bytes between segments) again by Pillow.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import simplejpeg

from imaging.errors import BadImage
from imaging.orientation import UPRIGHT, exif_segment_orientation, xmp_orientation
from imaging.rgb import RgbImage

START_OF_IMAGE, END_OF_IMAGE = b"\xff\xd8", b"\xff\xd9"
START_OF_SCAN, APP1 = 0xDA, 0xE1
EXIF, XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
MARKERS_WITH_LENGTH = frozenset([*range(0xC0, 0xD0), *range(0xDA, 0xFF)])
"""Markers whose segment states its length (ITU-T T.81, table B.1); others, and fill bytes, are not plain."""
PLAIN_COLOUR_SPACES = frozenset(("YCbCr", "Gray"))
SCALES = (8, 4, 2, 1)

_DAMAGE: Final = re.compile(
    "premature end|extraneous bytes|bad Huffman code|bad arithmetic code|instead of RST", re.IGNORECASE
)
"""libjpeg's warnings (jerror.h) after which pixels are grey or shifted; others are about metadata."""

_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


@dataclass(frozen=True, slots=True)
class PlainJpeg:
    """The header of a JPEG that needs no Pillow: height and width as stored, and the orientation, 1 to 8."""

    height: int
    width: int
    orientation: int


def read_plain_jpeg_header(data: bytes) -> PlainJpeg | None:
    """Return the header of a plain JPEG; None for anything else."""
    if not data.startswith(START_OF_IMAGE) or (orientation := _orientation(data)) is None:
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:  # Pillow reports the error
        return None
    return PlainJpeg(height, width, orientation) if colours in PLAIN_COLOUR_SPACES else None


def decode_plain_jpeg(data: bytes, size: tuple[int, int], target: tuple[int, int]) -> RgbImage | None:
    """Decode a plain JPEG of `size` at 1, ½, ¼ or ⅛ of it, never below `target`.

    Sizes are (height, width) in pixels, as stored; the image is not turned.

    Returns:
        The pixels, or None where the library can't decode such a JPEG and Pillow may say why.

    Raises:
        BadImage: ``corrupt-image``: pixels are missing or damaged. One that only lacks its end marker is decoded.
    """
    scale = next(by for by in SCALES if by == 1 or (size[0] // by >= target[0] and size[1] // by >= target[1]))
    try:
        return _decode_whole(data, size, scale, "RGB")[1]
    except ValueError:
        return None


def require_whole(data: bytes) -> bytes:
    """Return a JPEG that Pillow shall decode, with its end marker; what the library can't decode is returned as it is.

    Raises:
        BadImage: ``corrupt-image``: pixels are missing or damaged.
    """
    try:
        height, width, colour_space, _ = simplejpeg.decode_jpeg_header(data)
        colours = "CMYK" if colour_space in ("CMYK", "YCCK") else "RGB"
        return _decode_whole(data, (height, width), SCALES[0], colours)[0]
    except ValueError:  # Pillow reports the error
        return data


def _decode_whole(data: bytes, size: tuple[int, int], scale: int, colours: str) -> tuple[bytes, RgbImage]:
    """Return the bytes with an end marker right behind the last pixel, and the pixels.

    Cameras cut the marker off, or fill a buffer with zeros before or instead of it.

    Raises:
        BadImage: ``corrupt-image``: pixels are missing or damaged.
        ValueError: The library can't decode such a JPEG.
    """
    try:
        pixels = _decode(data, size, scale, colours)
    except ValueError as error:
        if not _DAMAGE.search(str(error)):
            raise
        return _complete(data, size, scale, colours, str(error).rstrip("."))
    if not _has_every_scan(data):
        raise _damaged("it ends between two scans")
    return data, pixels


def _complete(data: bytes, size: tuple[int, int], scale: int, colours: str, damage: str) -> tuple[bytes, RgbImage]:
    """Try to decode what lies before the end of a JPEG in which `damage` was found."""
    body = data.removesuffix(END_OF_IMAGE)
    for cut in dict.fromkeys((body, body.rstrip(b"\0"), body.rstrip(b"\0\xff"))):
        whole = cut + END_OF_IMAGE
        try:
            pixels = _decode(whole, size, scale, colours)
        except ValueError:
            continue
        if _has_every_scan(whole):
            return whole, pixels
        break
    raise _damaged(damage)


def _damaged(damage: str) -> BadImage:
    return BadImage("corrupt-image", f"The image/jpeg image is truncated or damaged: {damage}.")


def _decode(data: bytes, size: tuple[int, int], scale: int, colours: str) -> npt.NDArray[np.uint8]:
    height, width = (-(-side // scale) for side in size)
    return np.asarray(simplejpeg.decode_jpeg(data, colours, min_height=height, min_width=width, min_factor=scale))


def _has_every_scan(data: bytes) -> bool:
    """Return whether the scans refine every coefficient of every component to its last bit.

    A progressive JPEG that ends between two scans is decoded without a warning, and looks blurred. One whose header
    is odd counts as whole: the library has decoded it.
    """
    segments = _segments(data)
    if not segments:
        return True
    components = _frame_components(data, segments)
    missing: dict[int, set[int]] = {}
    for scanned, first, last, low_bit in _scans(data, segments[-1][0]):
        if (first, last, low_bit) == (0, 63, 0) and len(scanned) == len(components):
            return True  # all in one scan, as in nearly every JPEG
        missing = missing or {component: set(range(64)) for component in components}
        if low_bit == 0:
            for component in scanned:
                missing.get(component, set()).difference_update(range(first, last + 1))
        if not any(missing.values()):
            return True
    return bool(missing) and not any(missing.values())


def _scans(data: bytes, offset: int) -> Iterator[tuple[Sequence[int], int, int, int]]:
    """Yield the components, first and last coefficient and lowest bit of each scan (ITU-T T.81, B.2.3)."""
    while (marker := _MARKER.search(data, offset)) is not None and marker[0] != END_OF_IMAGE:
        length = int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        header = data[marker.end() : marker.end() + length]
        if marker[0][1] == START_OF_SCAN and len(header) > 2 and len(header) == 6 + 2 * header[2]:
            yield header[3:-3:2], header[-3], header[-2], header[-1] & 15
        offset = marker.end() + length


def _frame_components(data: bytes, segments: Sequence[tuple[int, int, int]]) -> bytes:
    """Return the identifiers of the components that the frame header announces, a byte each."""
    for offset, marker, length in segments:
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return data[offset + 10 : offset + 2 + length : 3]
    return b""


def _segments(data: bytes) -> list[tuple[int, int, int]]:
    """Return offset, marker and length of the segments up to the first scan; none of them where one is not plain."""
    found, offset = [], len(START_OF_IMAGE)
    while len(head := data[offset : offset + 4]) == 4 and head[0] == 0xFF and head[1] in MARKERS_WITH_LENGTH:
        length = int.from_bytes(head[2:], "big")
        found.append((offset, head[1], length))
        if head[1] == START_OF_SCAN:
            return found
        offset += 2 + length
    return []


def _orientation(data: bytes) -> int | None:
    """Return the orientation that the EXIF, else the XMP, before the first scan states; None where it is not plain."""
    segments = _segments(data)
    if not segments:
        return None
    stated = [data[offset + 4 : offset + 2 + length] for offset, marker, length in segments if marker == APP1]
    for segment in stated:
        if segment.startswith(EXIF) and (orientation := exif_segment_orientation(segment)):
            return orientation
    for segment in stated:
        if segment.startswith(XMP) and (orientation := xmp_orientation(segment[len(XMP) :])):
            return orientation
    return UPRIGHT
