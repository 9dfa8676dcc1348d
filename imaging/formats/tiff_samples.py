"""Read TIFFs of 9 to 16 bits per sample: packed or in words, grey or RGB, with alpha, in strips, tiles or planes.

Pillow reads few of these, and keeps the upper byte of colours alone. What is not compressed is sliced here. Of what is,
libtiff (through Pillow) decodes the bytes: a directory is appended that calls the image a grey one of 8 bits, as wide
as its rows have bytes.
"""

import io
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import TiffImagePlugin

from imaging.bit_depth import ByteArray, SampleArray
from imaging.errors import BadImage
from imaging.orientation import UPRIGHT, xmp_orientation
from imaging.samples import DeepSamples

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS_PER_STRIP, STRIP_BYTES, MAX_SAMPLE, PLANAR = 273, 274, 277, 278, 279, 281, 284
PREDICTOR, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES = 317, 322, 323, 324, 325
EXTRA_SAMPLES, SAMPLE_FORMAT, S_MAX_SAMPLE, XMP = 338, 339, 341, 700
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2
UNCOMPRESSED, DIFFERENCING, SEPARATE_PLANES, ASSOCIATED_ALPHA, UNASSOCIATED_ALPHA = 1, 2, 2, 1, 2
UNSIGNED, LONG = 1, 4
DEFAULTS: Final = {COMPRESSION: 1, PHOTOMETRIC: 0, FILL_ORDER: 1, SAMPLES: 1, PLANAR: 1, PREDICTOR: 1, EXTRA_SAMPLES: 0}
BYTE_STREAMS: Final = frozenset((UNCOMPRESSED, 5, 8, 32773, 32946, 34925, 50000))
"""LZW, Deflate, PackBits, LZMA and Zstandard compress bytes, whatever these mean."""

MAX_CHANNELS: Final = 6
BYTES_AT_ONCE: Final = 64 << 20
"""Decoded bytes of strips or tiles that are given to libtiff in one piece."""

_REVERSED = np.array([int(f"{byte:08b}"[::-1], 2) for byte in range(256)], np.uint8)


@dataclass(frozen=True, slots=True)
class DeepTiff:
    """The directory of a TIFF of 9 to 16 bits per sample, and the bytes that it belongs to.

    Attributes:
        data: The file.
        width: Pixels per row, as stored.
        height: Rows, as stored.
        bits: Bits that a sample takes in the data, 9 to 16.
        declared_depth: Bits that are used, where the file says so.
        channels: Samples per pixel.
        piece: Width and height of a strip or tile, in pixels.
        is_tiled: Whether pieces are tiles, which are whole at the edges, or strips.
        offsets: Where each strip or tile begins, plane by plane where planes are separate.
        sizes: The encoded bytes of each.
        orientation: 1 to 8.
        tags: The tags of one number.
    """

    data: bytes
    width: int
    height: int
    bits: int
    declared_depth: int | None
    channels: int
    piece: tuple[int, int]
    is_tiled: bool
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    orientation: int
    tags: Mapping[int, int]

    def read(self) -> DeepSamples:
        """Return the samples, not turned; raises whatever libtiff and numpy trip over in bytes that are damaged."""
        planes = self.channels if self.tags[PLANAR] == SEPARATE_PLANES else 1
        pieces = -(-self.width // self.piece[0]) * -(-self.height // self.piece[1])
        if len(self.offsets) < pieces * planes or len(self.sizes) < pieces * planes:
            raise ValueError("strips or tiles are missing")
        parts = [self._plane(slice(first * pieces, (first + 1) * pieces), self.channels // planes)
                 for first in range(planes)]  # fmt: skip
        values = parts[0] if planes == 1 else np.concatenate(parts, axis=2)
        colours = _colours(self.tags[PHOTOMETRIC])
        alpha = self.tags[EXTRA_SAMPLES]
        has_alpha = alpha in (ASSOCIATED_ALPHA, UNASSOCIATED_ALPHA) and self.channels > colours
        return DeepSamples(
            values[..., : colours + has_alpha],
            self.declared_depth,
            is_inverted=self.tags[PHOTOMETRIC] == WHITE_IS_ZERO,
            is_premultiplied=has_alpha and alpha == ASSOCIATED_ALPHA,
        )

    def _plane(self, pieces: slice, channels: int) -> SampleArray:
        width, height = self.piece
        across = -(-self.width // width)
        values = np.empty((self.height, self.width, channels), np.uint16)
        row_bytes = -(-width * channels * self.bits // 8)
        rows_at_once = max(1, BYTES_AT_ONCE // max(1, row_bytes * across * height))
        offsets, sizes = self.offsets[pieces], self.sizes[pieces]
        for top in range(0, self.height, height * rows_at_once):
            rows = min(height * rows_at_once, self.height - top)
            first = top // height * across
            chosen = slice(first, first + -(-rows // height) * across)
            for left, decoded in self._columns(offsets[chosen], sizes[chosen], row_bytes, across, rows):
                columns = min(width, self.width - left)
                unpacked = self._unpack(decoded, width * channels).reshape(rows, width, channels)
                if self.tags[PREDICTOR] == DIFFERENCING:
                    unpacked = np.cumsum(unpacked, axis=1, dtype=np.uint16)
                values[top : top + rows, left : left + columns] = unpacked[:, :columns]
        return values

    def _columns(
        self, offsets: Sequence[int], sizes: Sequence[int], row_bytes: int, across: int, rows: int
    ) -> Iterator[tuple[int, ByteArray]]:
        """Yield each column of pieces: its first pixel, and its decoded bytes, (rows, row_bytes)."""
        if self.tags[COMPRESSION] != UNCOMPRESSED:
            whole = self._by_libtiff(offsets, sizes, row_bytes, across, rows)
            for column in range(across):
                yield column * self.piece[0], whole[:, column * row_bytes : (column + 1) * row_bytes]
            return
        for column in range(across):
            parts = []
            for index, offset in enumerate(offsets[column::across]):
                there = min(self.piece[1], rows - index * self.piece[1]) * row_bytes
                parts.append(np.frombuffer(self.data, np.uint8, there, offset))
            joined = np.concatenate(parts).reshape(rows, row_bytes)
            yield column * self.piece[0], _REVERSED[joined] if self.tags[FILL_ORDER] == 2 else joined

    def _by_libtiff(
        self, offsets: Sequence[int], sizes: Sequence[int], row_bytes: int, across: int, rows: int
    ) -> ByteArray:
        """Decode strips or tiles by calling them a grey image of 8 bits, (rows, across · row_bytes)."""
        tags: dict[int, Sequence[int]] = {
            WIDTH: [row_bytes * across],
            HEIGHT: [rows],
            BITS: [8],
            COMPRESSION: [self.tags[COMPRESSION]],
            PHOTOMETRIC: [BLACK_IS_ZERO],
            FILL_ORDER: [self.tags[FILL_ORDER]],
            SAMPLES: [1],
        }
        if self.is_tiled:
            tags |= {TILE_WIDTH: [row_bytes], TILE_HEIGHT: [self.piece[1]], TILE_OFFSETS: offsets, TILE_BYTES: sizes}
        else:
            tags |= {STRIP_OFFSETS: offsets, ROWS_PER_STRIP: [self.piece[1]], STRIP_BYTES: sizes}
        image = TiffImagePlugin.TiffImageFile(io.BytesIO(_with_directory(self.data, tags)))
        return np.asarray(image)

    def _unpack(self, rows: ByteArray, samples: int) -> SampleArray:
        """Return the samples of rows of bytes; packed ones begin with their highest bit in any byte order."""
        if self.bits == 16:
            order = ">" if self.data[:2] == b"MM" else "<"
            return np.ascontiguousarray(rows).view(f"{order}u2").astype(np.uint16)
        start = np.arange(samples) * self.bits
        byte, bit = start // 8, (start % 8).astype(np.uint32)
        padded = np.pad(rows, ((0, 0), (0, 2)))
        values = np.empty((len(rows), samples), np.uint16)
        for row in range(0, len(rows), 64):  # in few rows at once, because the words have four times their bytes
            block = padded[row : row + 64].astype(np.uint32)
            words = block[:, byte] << 16 | block[:, byte + 1] << 8 | block[:, byte + 2]
            values[row : row + 64] = words >> (24 - self.bits - bit) & ((1 << self.bits) - 1)
        return values


def read_deep_tiff_header(data: bytes) -> DeepTiff | None:
    """Return the directory of a TIFF of 9 to 16 bits per sample; None for any other, and for a damaged one.

    Raises:
        BadImage: ``several-pictures``: a second directory follows.
    """
    try:
        directory = _directory(data)
        found = _deep_tiff(data, directory)
    except Exception:  # noqa: BLE001  readers raise whatever they trip over; Pillow says what is wrong
        return None
    if found is not None and directory.next:
        raise BadImage(
            "several-pictures",
            "The file holds several images, and which of them shows the part is unknown; send each as a frame.",
        )
    return found


def _directory(data: bytes) -> TiffImagePlugin.ImageFileDirectory_v2:
    is_big = 43 in data[2:4]
    head = data[:2] + (b"+\0" if is_big else data[2:4]) + data[4 : 16 if is_big else 8]  # as Pillow knows BigTIFF
    directory = TiffImagePlugin.ImageFileDirectory_v2(head)
    file = io.BytesIO(data)
    file.seek(directory.next)
    directory.load(file)
    return directory


def _deep_tiff(data: bytes, directory: TiffImagePlugin.ImageFileDirectory_v2) -> DeepTiff | None:
    def numbers(tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
        value = directory.get(tag, default)
        values = tuple(value) if isinstance(value, tuple | list) else (value,)
        if not all(isinstance(each, int) for each in values):
            raise ValueError(f"tag {tag} is no whole number")
        return values

    width, height = numbers(WIDTH, ())[0], numbers(HEIGHT, ())[0]
    stated = set(numbers(BITS, (1,)))
    bits = max(stated)
    if len(stated) > 1 or not 9 <= bits <= 16 or set(numbers(SAMPLE_FORMAT, (UNSIGNED,))) != {UNSIGNED}:
        return None
    tags = {tag: numbers(tag, (default,))[0] for tag, default in DEFAULTS.items()}
    channels = tags[SAMPLES]
    is_tiled = TILE_OFFSETS in directory
    piece = (numbers(TILE_WIDTH, ())[0], numbers(TILE_HEIGHT, ())[0]) if is_tiled else (
        width, min(height, numbers(ROWS_PER_STRIP, (height,))[0]))  # fmt: skip
    offsets = numbers(TILE_OFFSETS if is_tiled else STRIP_OFFSETS, ())
    sizes = numbers(TILE_BYTES if is_tiled else STRIP_BYTES, tuple(len(data) - offset for offset in offsets))
    is_in_words = bits < 16 and tags[COMPRESSION] == UNCOMPRESSED and sum(sizes) == 2 * width * height * channels
    largest_piece = max(4 * width * height, 1 << 20)
    if (
        tags[PHOTOMETRIC] not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB)
        or not _colours(tags[PHOTOMETRIC]) <= channels <= MAX_CHANNELS
        or tags[COMPRESSION] not in BYTE_STREAMS
        or (tags[PREDICTOR] != 1 and (tags[PREDICTOR] != DIFFERENCING or bits != 16))
        or not (min(*piece, width, height) >= 1 and piece[0] * piece[1] <= largest_piece)
    ):
        return None
    return DeepTiff(
        data=data,
        width=width,
        height=height,
        bits=16 if is_in_words else bits,
        declared_depth=_declared_depth(bits, numbers(MAX_SAMPLE, ()) or numbers(S_MAX_SAMPLE, ())),
        channels=channels,
        piece=piece,
        is_tiled=is_tiled,
        offsets=offsets,
        sizes=sizes,
        orientation=_orientation(directory),
        tags=tags,
    )


def _orientation(directory: TiffImagePlugin.ImageFileDirectory_v2) -> int:
    stated = directory.get(ORIENTATION)
    if isinstance(stated, int) and 1 <= stated <= 8:
        return stated
    return xmp_orientation(directory.get(XMP)) or UPRIGHT


def _declared_depth(bits: int, largest: Sequence[int]) -> int | None:
    """Return the bits that a file says are used, by its samples or by their maximum; None for words of 16 alone.

    A maximum is taken for a depth only where it is one less than a power of two: else it is the image's own.
    """
    if bits < 16:
        return bits
    stated = max(largest, default=0)
    return stated.bit_length() if stated & (stated + 1) == 0 and 9 <= stated.bit_length() < 16 else None


def _colours(photometric: int) -> int:
    return 3 if photometric == RGB else 1


def _with_directory(data: bytes, tags: Mapping[int, Sequence[int]]) -> bytes:
    """Return the file with its directory replaced by one of LONGs behind its end, in a classic little-endian header."""
    start = len(data) + len(data) % 2
    values_at = start + 2 + 12 * len(tags) + 4
    entries, values = b"", b""
    for tag, numbers in sorted(tags.items()):
        inline = numbers[0] if len(numbers) == 1 else values_at + len(values)
        entries += struct.pack("<HHII", tag, LONG, len(numbers), inline)
        if len(numbers) > 1:
            values += struct.pack(f"<{len(numbers)}I", *numbers)
    head = b"II*\0" + struct.pack("<I", start)
    return head + data[8:] + b"\0" * (len(data) % 2) + struct.pack("<H", len(tags)) + entries + bytes(4) + values
