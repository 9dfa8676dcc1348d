"""Samples of more than 8 bits, in every container: the upper 8 of the bits that the camera fills are what is seen."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imaging.bit_depth import smallest_bit_depth
from imaging.decode import decode, open_image
from imaging.errors import BadImage
from imaging.limits import ImageLimits
from tests.imaging.encoders import Samples, chunk, encode, png, tiff

LIMITS = ImageLimits()


def random_samples(bits: int, channels: int = 1, height: int = 19, width: int = 37, seed: int = 0) -> Samples:
    return np.random.default_rng(seed).integers(0, 1 << bits, (height, width, channels)).astype(np.uint16)


def refused(data: bytes, bit_depth: int | None = None) -> str:
    with pytest.raises(BadImage) as caught:
        decode(data, LIMITS, bit_depth=bit_depth)
    return caught.value.reason


def as_rgb(values: np.ndarray) -> np.ndarray:
    return np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values


@pytest.mark.parametrize(
    ("largest", "depth"), [(0, 8), (255, 8), (256, 10), (1023, 10), (1024, 12), (4096, 14), (16383, 14), (65535, 16)]
)
def test_a_depth_is_the_smallest_of_a_camera_that_holds_the_largest_sample(largest: int, depth: int) -> None:
    assert smallest_bit_depth(largest) == depth


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize(("depth", "seen"), [(8, None), (10, None), (12, [0, 15, 16, 255]), (14, [0, 3, 4, 63])])
def test_grey_in_words_of_sixteen_bits_is_seen_at_the_station_s_depth(
    kind: str, depth: int, seen: list[int] | None
) -> None:
    grey = np.array([[0, 255, 256, 4095] * 2] * 8, dtype=np.uint16)
    data = encode(Image.fromarray(grey), kind)
    if seen is None:
        assert refused(data, depth) == "exceeds-bit-depth"
    else:
        decoded = decode(data, LIMITS, bit_depth=depth)
        assert decoded.pixels[0, :4, 1].tolist() == seen
        assert decoded.largest_sample == 4095


def test_eight_bits_in_words_of_sixteen_keep_their_contrast() -> None:
    values = random_samples(8)
    assert (decode(png(values), LIMITS, bit_depth=8).pixels == as_rgb(values)).all()
    assert decode(png(values), LIMITS).pixels.max() == 0  # the upper 8 of 16 bits, as long as nothing is known


@settings(max_examples=60, deadline=None)
@given(channels=st.integers(1, 4), depth=st.sampled_from([8, 10, 12, 14, 16]), seed=st.integers(0, 99))
def test_a_png_of_sixteen_bits_is_read_to_its_last_bit(channels: int, depth: int, seed: int) -> None:
    values = random_samples(depth, channels, seed=seed)
    colours = values[..., : 1 if channels < 3 else 3]
    if channels in (2, 4):
        values[..., -1] = 65535
    decoded = decode(png(values), LIMITS, bit_depth=depth)
    assert (decoded.pixels == as_rgb(colours >> (depth - 8))).all()
    assert decoded.largest_sample == colours.max()


@settings(max_examples=150, deadline=None)
@given(
    bits=st.integers(9, 16),
    channels=st.sampled_from([1, 3]),
    order=st.sampled_from("<>"),
    layout=st.sampled_from([{}, {"rows_per_strip": 1}, {"rows_per_strip": 7}, {"tile": 16}, {"tile": 32}]),
    is_planar=st.booleans(),
    is_deflated=st.booleans(),
    is_differenced=st.booleans(),
    is_inverted=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_tiff_of_any_depth_order_and_layout_is_read_as_its_file_says(
    bits: int,
    channels: int,
    order: str,
    layout: dict[str, int],
    is_planar: bool,
    is_deflated: bool,
    is_differenced: bool,
    is_inverted: bool,
    seed: int,
) -> None:
    values = random_samples(bits, channels, seed=seed)
    inverted = is_inverted and channels == 1
    data = tiff(
        values,
        bits,
        order=order,
        photometric=0 if inverted else None,
        is_planar=is_planar,
        is_deflated=is_deflated,
        is_differenced=is_differenced and bits == 16 and is_deflated,
        **layout,  # type: ignore[arg-type]
    )
    decoded = decode(data, LIMITS)
    seen = as_rgb(values >> (bits - 8))
    assert (decoded.pixels == (255 - seen if inverted else seen)).all()
    assert decoded.largest_sample == (values.max() if bits == 16 else None)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", None])
def test_grey_that_libtiff_compressed_is_read(compression: str | None) -> None:
    values = random_samples(12)
    data = encode(Image.fromarray(values[..., 0]), "TIFF", compression=compression)
    assert (decode(data, LIMITS, bit_depth=12).pixels == as_rgb(values >> 4)).all()


def test_twelve_bits_that_a_writer_left_in_words_are_read_too() -> None:
    values = random_samples(12)
    data = tiff(values, 16, tags={258: [12]})
    assert (decode(data, LIMITS).pixels == as_rgb(values >> 4)).all()


@pytest.mark.parametrize("tag", [281, 341])
def test_a_maximum_that_is_a_power_of_two_less_one_is_the_file_s_depth(tag: int) -> None:
    values = random_samples(10)
    assert (decode(tiff(values, tags={tag: [1023]}), LIMITS).pixels == as_rgb(values >> 2)).all()
    assert decode(tiff(values, tags={tag: [1023]}), LIMITS).largest_sample is None
    assert refused(tiff(values, tags={tag: [511]})) == "exceeds-bit-depth"


@pytest.mark.parametrize("stated", [1000, 65535])
def test_any_other_maximum_says_nothing_about_the_depth(stated: int) -> None:
    values = random_samples(8)
    decoded = decode(tiff(values, tags={281: [stated]}), LIMITS, bit_depth=8)
    assert (decoded.pixels == as_rgb(values)).all()
    assert decoded.largest_sample == values.max()


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_significant_bits_of_a_png_are_its_depth_only_where_samples_were_not_scaled(bits: int) -> None:
    values = random_samples(bits)
    stated = chunk(b"sBIT", bytes([bits]))
    assert (decode(png(values, stated), LIMITS).pixels == as_rgb(values >> (bits - 8))).all()
    shifted = values << (16 - bits)
    repeated = shifted | (values >> (2 * bits - 16))
    proportional = np.rint(values * (65535 / ((1 << bits) - 1))).astype(np.uint16)
    for scaled in (each.astype(np.uint16) for each in (shifted, repeated, proportional)):
        assert (decode(png(scaled, stated), LIMITS).pixels == as_rgb(scaled >> 8)).all()


def test_samples_above_the_depth_are_never_clipped() -> None:
    values = np.full((8, 8, 3), 1023, np.uint16)
    values[0, 0, 0] = 1024
    for data in (png(values), tiff(values), tiff(values, order=">")):
        assert refused(data, 10) == "exceeds-bit-depth"
        assert decode(data, LIMITS, bit_depth=12).pixels[0, 0].tolist() == [64, 63, 63]


def test_eight_bit_images_have_no_depth_to_learn() -> None:
    picture = Image.fromarray(random_samples(8, 3).astype(np.uint8))
    for kind in ("PNG", "TIFF", "BMP", "JPEG", "WEBP"):
        decoded = decode(encode(picture, kind), LIMITS, bit_depth=10)
        assert decoded.largest_sample is None
        assert decoded.pixels.max() > 200


@pytest.mark.parametrize("order", ["<", ">"])
def test_white_is_zero_is_turned_at_any_depth(order: str) -> None:
    values = random_samples(8)
    assert (decode(tiff(values, photometric=0, order=order), LIMITS, bit_depth=8).pixels == 255 - as_rgb(values)).all()
    eight = tiff(values, 8, photometric=0, order=order)  # two pixels per word would be turned by their order
    assert (decode(eight, LIMITS).pixels == 255 - as_rgb(values)).all()


def test_a_transparent_colour_of_sixteen_bits_is_laid_on_white() -> None:
    values = random_samples(16)
    values[0, 0, 0], values[0, 1, 0] = 0x1234, 0x1235
    pixels = decode(png(values, chunk(b"tRNS", b"\x12\x34")), LIMITS).pixels
    assert pixels[0, 0].tolist() == [255] * 3
    assert pixels[0, 1].tolist() == [0x12] * 3


def test_a_turned_deep_image_is_upright() -> None:
    values = random_samples(12, height=9, width=12)
    turned = np.rot90(as_rgb(values >> 4), -1)
    assert (decode(tiff(values, 12, tags={274: [6]}), LIMITS).pixels == turned).all()
    exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    for data in (png(values, chunk(b"eXIf", exif)), png(values, after=chunk(b"eXIf", exif))):
        assert (decode(data, LIMITS, bit_depth=12).pixels == turned).all()


def test_the_limits_hold_for_deep_images() -> None:
    values = random_samples(12)
    for data in (tiff(values, 12), png(values)):
        open_image(data, ImageLimits(max_pixels=19 * 37))
        with pytest.raises(BadImage) as caught:
            open_image(data, ImageLimits(max_pixels=19 * 37 - 1))
        assert caught.value.reason == "too-many-pixels"


@pytest.mark.parametrize("offset", [5_000, 10_000_000])
def test_a_deep_tiff_whose_pixels_are_missing_is_refused(offset: int) -> None:
    values = random_samples(16, height=64, width=64)
    assert refused(tiff(values, tags={273: [offset]})) == "corrupt-image"
    assert refused(tiff(values, is_deflated=True, tags={273: [offset]})) == "corrupt-image"
    assert refused(tiff(values, rows_per_strip=8, tags={273: [8]})) == "corrupt-image"
    assert refused(png(values)[:400]) == "corrupt-image"


def test_two_deep_images_in_one_file_are_refused() -> None:
    whole = tiff(random_samples(12), 12)
    start = int.from_bytes(whole[4:8], "little")
    entries = int.from_bytes(whole[start : start + 2], "little")
    after = start + 2 + 12 * entries
    twice = whole[:after] + start.to_bytes(4, "little") + whole[after + 4 :]
    assert refused(twice) == "several-pictures"


WHOLE = [
    tiff(random_samples(12, 3), 12, tile=16, is_deflated=True),
    tiff(random_samples(16, 4)),
    png(random_samples(16, 4)),
]


@settings(max_examples=150, deadline=None)
@given(
    base=st.sampled_from(WHOLE),
    edits=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=6)), max_size=6),
    tail=st.lists(st.tuples(st.integers(1, 400), st.binary(min_size=1, max_size=4)), max_size=3),
)
def test_mutated_deep_images_are_decoded_or_refused(
    base: bytes, edits: list[tuple[float, bytes]], tail: list[tuple[int, bytes]]
) -> None:
    data = bytearray(base)
    places = [(int(where * len(data)), change) for where, change in edits] + [(len(data) - at, how) for at, how in tail]
    for place, change in places:
        data[place : place + len(change)] = change
    with suppress(BadImage):
        assert decode(bytes(data), ImageLimits(max_pixels=1_000_000)).pixels.shape[2] == 3
