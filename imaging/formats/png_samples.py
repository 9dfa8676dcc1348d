"""Read PNGs of 16 bits per sample, of which Pillow keeps the upper byte of colours alone."""

import io
from dataclasses import replace

import numpy as np
from PIL import Image, PngImagePlugin

from imaging.bit_depth import SampleArray
from imaging.samples import DeepSamples

SIGNATURE_BYTES = 8
GREY, COLOUR, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 4, 6
LOWER_BYTE = {COLOUR: "RGB;16L", COLOUR_ALPHA: "RGBA;16L"}
"""Pillow's raw modes that keep the second byte of each sample; its own keep the first."""


def is_deep_png(data: bytes) -> bool:
    """Return whether a PNG's header states 16 bits per sample (ISO 15948, 11.2.2)."""
    return data[12:16] == b"IHDR" and len(data) > 25 and data[24] == 16


def read_deep_png(data: bytes, image: PngImagePlugin.PngImageFile) -> DeepSamples:
    """Return the samples of a 16-bit PNG; `image` is its bytes opened, and is decoded by this.

    Raises:
        Exception: Whatever Pillow trips over in bytes that are damaged.
    """
    kind = data[25]
    if kind == GREY_ALPHA:  # four bytes per pixel, as 8-bit RGBA, whose filters are the same
        image.tile = [tile._replace(args="RGBA") for tile in image.tile]
    upper = np.asarray(image)
    if kind == GREY:
        values = upper.astype(np.uint16)[:, :, None]
    elif kind == GREY_ALPHA:
        values = upper.view(">u2").astype(np.uint16)
    else:
        values = np.asarray(upper, dtype=np.uint16) << np.uint16(8) | _lower_bytes(data, LOWER_BYTE[kind])
    samples = DeepSamples(values, transparent=_transparent(image))
    bits = _significant_bits(data, kind)
    is_unscaled = (
        bits is not None and 8 <= bits < 16 and not _is_scaled(values[..., : 1 if kind in (0, 4) else 3], bits)
    )
    return replace(samples, declared_depth=bits) if is_unscaled else samples


def _lower_bytes(data: bytes, raw_mode: str) -> SampleArray:
    again = PngImagePlugin.PngImageFile(io.BytesIO(data))
    again.decodermaxblock = len(data)
    again.tile = [tile._replace(args=raw_mode) for tile in again.tile]
    return np.asarray(again).astype(np.uint16)


def _transparent(image: Image.Image) -> tuple[int, ...] | None:
    stated = image.info.get("transparency")
    if isinstance(stated, int):
        return (stated,)
    return tuple(stated) if isinstance(stated, tuple) and all(isinstance(value, int) for value in stated) else None


def _significant_bits(data: bytes, kind: int) -> int | None:
    """Return the bits per colour of the chunk sBIT, which stands before the pixels; None without one."""
    offset = SIGNATURE_BYTES
    while len(head := data[offset : offset + 8]) == 8 and (name := head[4:]) != b"IDAT":
        length = int.from_bytes(head[:4], "big")
        if name == b"sBIT":
            stated = data[offset + 8 : offset + 8 + length][: 1 if kind in (GREY, GREY_ALPHA) else 3]
            return max(stated, default=None)
        offset += length + 12
    return None


def _is_scaled(values: SampleArray, bits: int) -> bool:
    """Return whether samples of `bits` bits were scaled to 16, as the standard has it (ISO 15948, 12.4).

    The lower bits are then 0, or repeat the upper ones up to rounding. Cameras that state sBIT and store their samples
    as they are contradict this in any picture that is not black.
    """
    lower = (values & np.uint16((1 << (16 - bits)) - 1)).astype(np.int32)
    repeated = (values >> np.uint16(bits)).astype(np.int32)
    return bool(np.all((lower == 0) | (np.abs(lower - repeated) <= 1)))
