"""Decoding of bytes to an image: the formats that a camera may send, and hostile bytes."""

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from imaging.decode import decode, open_image
from imaging.errors import BadImage
from imaging.limits import ImageLimits
from tests.imaging.encoders import encode

LIMITS = ImageLimits()
KINDS = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "WEBP": "image/webp",
}


def noise(height: int = 20, width: int = 30, channels: int = 3) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def png_header(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"IHDR" + head
    empty = zlib.compress(b"")
    data = b"IDAT" + empty
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
        + struct.pack(">I", len(empty)) + data + struct.pack(">I", zlib.crc32(data))
    )  # fmt: skip


def refused_reason(data: bytes, limits: ImageLimits = LIMITS) -> str:
    with pytest.raises(BadImage) as caught:
        decode(data, limits)
    assert str(caught.value).endswith(".")
    return caught.value.reason


@pytest.mark.parametrize("kind", KINDS)
def test_each_format_gives_its_pixels_and_its_content_type(kind: str) -> None:
    pixels = noise()
    options = {"lossless": True} if kind == "WEBP" else {}
    decoded = decode(encode(Image.fromarray(pixels), kind, **options), LIMITS)
    assert decoded.content_type == KINDS[kind]
    assert decoded.pixels.shape == (20, 30, 3)
    assert decoded.pixels.dtype == np.uint8
    if kind != "JPEG":
        assert (decoded.pixels == pixels).all()


def test_cmyk_becomes_rgb() -> None:
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    pixels = decode(encode(cyan, "TIFF"), LIMITS).pixels
    assert pixels[0, 0].tolist() == [0, 255, 255]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_undone_as_pillow_does(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.fromarray(noise()), kind, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    assert (decode(data, LIMITS).pixels == expected).all()


def test_empty_and_unknown_bytes_are_refused_with_a_reason() -> None:
    assert refused_reason(b"") == "empty-image"
    assert refused_reason(b"GIF89a" + bytes(100)) == "not-an-image"
    assert refused_reason(b"RIFF\0\0\0\0WAVEfmt ") == "not-an-image"
    assert refused_reason(b"RIFF\0\0\0\0WEBPnone" + bytes(40)) == "corrupt-image"


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_image_is_refused(kind: str) -> None:
    data = encode(Image.fromarray(noise(64, 64)), kind)
    assert refused_reason(data[: len(data) // 2]) == "corrupt-image"


def test_a_one_pixel_image_is_refused() -> None:
    assert refused_reason(encode(Image.new("RGB", (1, 1)), "PNG")) == "too-few-pixels"


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    assert refused_reason(png_header(40_000, 40_000)) == "too-many-pixels"
    vp8x = b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + (16_000).to_bytes(3, "little") * 2
    assert refused_reason(vp8x) == "too-many-pixels"


@pytest.mark.parametrize("kind", ["WEBP", "PNG"])
@pytest.mark.parametrize("lossless", [True, False])
def test_the_limits_are_inclusive(kind: str, lossless: bool) -> None:
    data = encode(Image.fromarray(noise()), kind, lossless=lossless)
    decode(data, ImageLimits(max_pixels=600, max_bytes=len(data)))
    assert refused_reason(data, ImageLimits(max_pixels=599)) == "too-many-pixels"
    assert refused_reason(data, ImageLimits(max_bytes=len(data) - 1)) == "too-many-bytes"


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    bomb = encode(Image.new("1", (9_000, 9_000)), "PNG")
    assert len(bomb) < 50_000
    assert refused_reason(bomb, ImageLimits(max_pixels=80_000_000)) == "too-many-pixels"


def test_images_above_pillows_limit_are_decoded_where_the_settings_allow_it() -> None:
    before = Image.MAX_IMAGE_PIXELS
    wide = encode(Image.new("1", (30_000, 3_000)), "PNG")
    assert open_image(wide, LIMITS).decoded_bytes == 270_000_000
    assert before is not None
    assert before < 90_000_000
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_an_animation_or_several_pages_are_refused(kind: str) -> None:
    pages = [Image.fromarray(noise()), Image.fromarray(255 - noise())]
    assert refused_reason(encode(pages[0], kind, save_all=True, append_images=pages[1:])) == "several-pictures"


def test_a_tiff_whose_second_page_has_no_size_is_refused() -> None:
    whole = encode(Image.fromarray(noise()), "TIFF")
    (first,) = struct.unpack_from("<I", whole, 4)
    (tags,) = struct.unpack_from("<H", whole, first)
    second = struct.pack("<HHHIII", 1, 0x0100 + 30, 3, 1, 0, 0)  # a page without a width
    at = first + 2 + 12 * tags
    data = whole[:at] + struct.pack("<I", len(whole)) + whole[at + 4 :] + second
    assert refused_reason(data) == "corrupt-image"


def test_floating_point_pixels_are_refused() -> None:
    assert refused_reason(encode(Image.new("F", (16, 16)), "TIFF")) == "unsupported-pixels"


def test_unreadable_exif_is_ignored() -> None:
    data = encode(Image.fromarray(noise()), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert decode(data, LIMITS).pixels.shape == (20, 30, 3)


def test_decoding_in_threads_emits_no_warning_and_keeps_the_filters() -> None:
    odd = bytearray(encode(Image.fromarray(noise()), "TIFF"))
    odd += b"\0"
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: decode(bytes(odd), LIMITS), range(40)))
    assert list(warnings.filters) == before


WHOLE = {kind: encode(Image.fromarray(noise(24, 24)), kind) for kind in KINDS}


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    edits=st.lists(st.tuples(st.integers(0, 400), st.binary(min_size=0, max_size=4)), max_size=6),
    cut=st.integers(0, 300),
)
def test_mutated_images_are_decoded_or_refused_and_nothing_else(
    kind: str, edits: list[tuple[int, bytes]], cut: int
) -> None:
    data = bytearray(WHOLE[kind])
    for position, change in edits:
        data[position : position + len(change)] = change
    with suppress(BadImage):
        pixels = decode(bytes(data[: len(data) - cut]), ImageLimits(max_pixels=1_000_000)).pixels
        assert pixels.ndim == 3
