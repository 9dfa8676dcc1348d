"""Read BMPs whose channels are bit fields of any width: 5-6-5, 10-10-10, 8 bits in any order, with or without alpha.

Pillow knows eleven layouts. The header's masks say all of them, so they are read here (Microsoft, BITMAPV5HEADER).
"""

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from imaging.errors import BadImage
from imaging.rgb import RgbImage
from imaging.transparency import opaque

BITFIELDS, ALPHA_BITFIELDS = 3, 6
HEADERS: Final = (40, 52, 56, 108, 124)
"""Sizes of the headers in which these compressions mean bit fields; OS/2 gives the number 3 to another."""

MASKS_OFFSET: Final = 54
DEFAULT_MASKS: Final = {16: (0x7C00, 0x3E0, 0x1F), 32: (0xFF0000, 0xFF00, 0xFF)}
"""Masks of a header whose masks are all 0."""


@dataclass(frozen=True, slots=True)
class BitfieldsBmp:
    """The header of a BMP with bit fields, and the bytes that it belongs to.

    `masks` are those of red, green, blue and alpha, whose mask is 0 where the image has none.
    """

    data: bytes
    width: int
    height: int
    is_top_down: bool
    bits: int
    offset: int
    masks: tuple[int, int, int, int]

    def read(self) -> RgbImage:
        """Return the pixels.

        Raises:
            BadImage: ``corrupt-image``: a mask has gaps, or pixels are missing.
        """
        words = self._words()
        channels = [_eight_bits(words, mask) for mask in (self.masks if self.masks[3] else self.masks[:3])]
        return opaque(np.stack(channels, axis=2))

    def _words(self) -> npt.NDArray[np.uint32]:
        row_bytes, word = (self.width * self.bits + 31) // 32 * 4, self.bits // 8
        pixels = self.data[self.offset : self.offset + row_bytes * self.height]
        missing = row_bytes * (self.height - 1) + self.width * word - len(pixels)
        if missing > 0:
            raise BadImage("corrupt-image", f"The image/bmp image can't be decoded: {missing} bytes are missing.")
        rows = np.frombuffer(pixels.ljust(row_bytes * self.height, b"\0"), np.uint8).reshape(self.height, row_bytes)
        words = np.ascontiguousarray(rows[:, : self.width * word]).view(f"<u{word}").astype(np.uint32)
        return words if self.is_top_down else words[::-1]


def read_bitfields_header(data: bytes) -> BitfieldsBmp | None:
    """Return the header of a BMP with bit fields; None for any other."""
    if len(data) < MASKS_OFFSET + 16:
        return None
    (offset, header, width, height, _, bits, compression) = struct.unpack_from("<IIiiHHI", data, 10)
    if compression not in (BITFIELDS, ALPHA_BITFIELDS) or header not in HEADERS or bits not in DEFAULT_MASKS:
        return None
    masks = struct.unpack_from("<IIII", data, MASKS_OFFSET)
    alpha = masks[3] if header >= 56 or (header == 40 and compression == ALPHA_BITFIELDS) else 0
    colours = masks[:3] if any(masks[:3]) else DEFAULT_MASKS[bits]
    return BitfieldsBmp(data, max(width, 0), abs(height), height < 0, bits, offset, (*colours, alpha))


def _eight_bits(words: npt.NDArray[np.uint32], mask: int) -> npt.NDArray[np.uint8]:
    """Return one channel in 8 bits: of wider fields the upper 8, narrower ones spread over 0 to 255."""
    if mask == 0:
        return np.zeros(words.shape, np.uint8)
    shift = (mask & -mask).bit_length() - 1
    largest = mask >> shift
    if largest & (largest + 1):
        raise BadImage("corrupt-image", f"The image/bmp image can't be decoded: the mask {mask:#x} has gaps.")
    values = (words & np.uint32(mask)) >> np.uint32(shift)
    width = largest.bit_length()
    if width >= 8:
        return (values >> np.uint32(width - 8)).astype(np.uint8)
    return ((values * np.uint32(255) + np.uint32(largest // 2)) // np.uint32(largest)).astype(np.uint8)
