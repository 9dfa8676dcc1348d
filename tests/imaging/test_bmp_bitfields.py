"""BMPs with bit fields of any width and order, as their header's masks say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.decode import decode
from imaging.errors import BadImage
from imaging.limits import ImageLimits
from tests.imaging.encoders import bitfields_bmp

LIMITS = ImageLimits()


def words(bits: int, height: int = 11, width: int = 13) -> np.ndarray:
    draw = np.random.default_rng(0).integers(0, 1 << bits, (height, width), dtype=np.uint64)
    return draw.astype(np.uint16 if bits == 16 else np.uint32)


def field(values: np.ndarray, shift: int, width: int) -> np.ndarray:
    """Return a field in 8 bits: of wider ones the upper 8, narrower ones in proportion."""
    found = (values.astype(np.int64) >> shift) & ((1 << width) - 1)
    return found >> (width - 8) if width >= 8 else np.floor(found * 255 / ((1 << width) - 1) + 0.5).astype(np.int64)


@pytest.mark.parametrize("is_top_down", [False, True])
@pytest.mark.parametrize("header", [40, 52, 56, 108, 124])
@pytest.mark.parametrize(
    ("bits", "fields"),
    [
        (16, ((11, 5), (5, 6), (0, 5))),  # 5-6-5
        (16, ((10, 5), (5, 5), (0, 5))),  # 5-5-5
        (16, ((0, 5), (5, 6), (11, 5))),  # blue first
        (16, ((4, 2), (1, 3), (0, 1))),  # 2-3-1
        (16, ((8, 4), (4, 4), (0, 4))),  # 4-4-4
        (32, ((20, 10), (10, 10), (0, 10))),  # 10-10-10
        (32, ((21, 11), (10, 11), (0, 10))),  # 11-11-10
        (32, ((11, 5), (5, 6), (0, 5))),  # 5-6-5 in the lower half
        (32, ((4, 8), (12, 8), (20, 8))),  # 8 bits, shifted by four
        (32, ((16, 8), (24, 8), (8, 8))),  # 8 bits in an unusual order
        (32, ((16, 16), (8, 8), (0, 8))),  # 16-8-8
    ],
)
def test_each_channel_is_read_by_its_mask(
    bits: int, fields: tuple[tuple[int, int], ...], header: int, is_top_down: bool
) -> None:
    values = words(bits)
    masks = [((1 << width) - 1) << shift for shift, width in fields]
    data = bitfields_bmp(values, masks, header=header, is_top_down=is_top_down)
    expected = np.stack([field(values, *each) for each in fields], axis=2)
    assert (decode(data, LIMITS).pixels == expected).all()


def test_alpha_by_mask_is_composited_and_two_bits_of_it_are_enough() -> None:
    values = np.full((8, 8), 1 << 30 | 1023 << 20, np.uint32)  # a third of red
    masks = (1023 << 20, 1023 << 10, 1023, 3 << 30)
    assert decode(bitfields_bmp(values, masks), LIMITS).pixels[0, 0].tolist() == [255, 170, 170]
    assert decode(bitfields_bmp(values, masks, header=40), LIMITS).pixels[0, 0].tolist() == [255, 170, 170]


def test_the_fourth_byte_without_a_mask_is_no_alpha() -> None:
    values = words(32)
    data = bitfields_bmp(values, (0xFF0000, 0xFF00, 0xFF, 0))
    assert (decode(data, LIMITS).pixels[..., 2] == (values & 255)).all()


def test_masks_that_are_all_nothing_are_the_usual_ones() -> None:
    values = words(32)
    assert (decode(bitfields_bmp(values, (0, 0, 0, 0)), LIMITS).pixels[..., 2] == (values & 255)).all()


def test_a_mask_with_gaps_and_missing_pixels_are_refused() -> None:
    for data in (bitfields_bmp(words(32), (0xF0F000, 0xFF, 0, 0)), bitfields_bmp(words(32), (0xFF, 0, 0, 0))[:-60]):
        with pytest.raises(BadImage) as caught:
            decode(data, LIMITS)
        assert caught.value.reason == "corrupt-image"


@settings(max_examples=100, deadline=None)
@given(place=st.integers(10, 130), change=st.binary(min_size=1, max_size=6))
def test_a_mutated_header_is_read_or_refused(place: int, change: bytes) -> None:
    data = bytearray(bitfields_bmp(words(32), (0xFF0000, 0xFF00, 0xFF, 0)))
    data[place : place + len(change)] = change
    try:
        decode(bytes(data), ImageLimits(max_pixels=1_000_000))
    except BadImage as error:
        reason = error.reason
        assert reason
