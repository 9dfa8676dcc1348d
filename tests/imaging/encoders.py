"""Encoders of what Pillow can't write: PNG, TIFF and BMP with samples of any depth, byte order and layout."""

import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Samples = npt.NDArray[np.uint16]
PNG_KINDS = {1: 0, 2: 4, 3: 2, 4: 6}
DEFLATE = 8


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(values: Samples, *chunks: bytes, after: bytes = b"") -> bytes:
    """Encode (height, width, channels) as a PNG of 16 bits, with more chunks before and after the pixels."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, PNG_KINDS[channels], 0, 0, 0)
    body = chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IDAT", zlib.compress(rows)) + after
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def packed(values: Samples, bits: int, order: str) -> bytes:
    """Pack (rows, columns, channels) as TIFF does: 16 bits in words, others from the highest bit, rows on bytes."""
    rows = values.reshape(len(values), -1)
    if bits == 16:
        return rows.astype(f"{order}u2").tobytes()
    each = (rows[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(each.reshape(len(rows), -1).astype(np.uint8), axis=1).tobytes()


def tiff(
    values: Samples,
    bits: int = 16,
    *,
    order: str = "<",
    photometric: int | None = None,
    rows_per_strip: int | None = None,
    tile: int | None = None,
    is_planar: bool = False,
    is_deflated: bool = False,
    is_differenced: bool = False,
    tags: Mapping[int, Sequence[int]] | None = None,
) -> bytes:
    """Encode (height, width, channels) as a TIFF; `tags` adds to its directory or replaces what is there."""
    height, width, channels = values.shape
    step = tile or rows_per_strip or height
    pieces = []
    for plane in [values[..., index : index + 1] for index in range(channels)] if is_planar else [values]:
        for top in range(0, height, step):
            for left in range(0, width, tile or width):
                piece = plane[top : top + step, left : left + (tile or width)]
                if tile:
                    piece = np.pad(piece, ((0, tile - len(piece)), (0, tile - piece.shape[1]), (0, 0)))
                if is_differenced:
                    piece = np.diff(piece, axis=1, prepend=np.zeros_like(piece[:, :1]))
                body = packed(piece, bits, order)
                pieces.append(zlib.compress(body) if is_deflated else body)
    offsets = [8 + sum(len(piece) for piece in pieces[:index]) for index in range(len(pieces))]
    sizes = [len(piece) for piece in pieces]
    where = {322: [step], 323: [step], 324: offsets, 325: sizes} if tile else {273: offsets, 278: [step], 279: sizes}
    directory: dict[int, Sequence[int]] = {
        256: [width],
        257: [height],
        258: [bits] * channels,
        259: [DEFLATE if is_deflated else 1],
        262: [photometric if photometric is not None else (2 if channels >= 3 else 1)],
        277: [channels],
        284: [2 if is_planar else 1],
        317: [2 if is_differenced else 1],
        **({338: [2]} if channels in (2, 4) else {}),
        **where,
        **(tags or {}),
    }
    return _with_directory(b"".join(pieces), directory, order)


def _with_directory(body: bytes, directory: Mapping[int, Sequence[int]], order: str) -> bytes:
    start = 8 + len(body)
    more_at = start + 2 + 12 * len(directory) + 4
    entries, more = b"", b""
    for tag, numbers in sorted(directory.items()):
        value = struct.pack(f"{order}{len(numbers)}I", *numbers)
        if len(numbers) > 1:
            entries += struct.pack(f"{order}HHII", tag, 4, len(numbers), more_at + len(more))
            more += value
        else:
            entries += struct.pack(f"{order}HHI", tag, 4, 1) + value
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", start)
    return head + body + struct.pack(f"{order}H", len(directory)) + entries + bytes(4) + more


def bitfields_bmp(
    words: npt.NDArray[np.unsignedinteger[Any]], masks: Sequence[int], *, header: int = 108, is_top_down: bool = False
) -> bytes:
    """Encode (height, width) words of 16 or 32 bits as a BMP with the masks of red, green, blue and alpha."""
    height, width = words.shape
    bits = words.dtype.itemsize * 8
    rows = words if is_top_down else words[::-1]
    padding = bytes(-width * words.dtype.itemsize % 4)
    pixels = b"".join(row.astype(f"<u{words.dtype.itemsize}").tobytes() + padding for row in rows)
    shape = (width, -height if is_top_down else height)
    compression = 6 if header == 40 and len(masks) == 4 else 3
    info = struct.pack("<IiiHHIIiiII", header, *shape, 1, bits, compression, len(pixels), 2835, 2835, 0, 0)
    info += struct.pack(f"<{len(masks)}I", *masks)
    info = info.ljust(max(header, len(info)), b"\0")
    return b"BM" + struct.pack("<IHHI", 14 + len(info) + len(pixels), 0, 0, 14 + len(info)) + info + pixels
