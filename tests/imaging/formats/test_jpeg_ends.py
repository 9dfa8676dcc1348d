"""JPEGs whose end is missing: whole ones are decoded, and none with a pixel missing is."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imaging.decode import decode
from imaging.errors import BadImage
from imaging.limits import ImageLimits
from tests.imaging.encoders import encode
from tests.imaging.formats.test_jpeg import jpeg

LIMITS = ImageLimits()
END = b"\xff\xd9"


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def thumbnail_in_exif() -> bytes:
    """EXIF that carries a whole JPEG."""
    return b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + jpeg(16, 16)


KINDS: dict[str, bytes] = {
    "baseline": jpeg(121, 163),
    "grey": jpeg(121, 163, "L"),
    "progressive": jpeg(121, 163, progressive=True),
    "restart intervals": jpeg(121, 163, restart_marker_blocks=7),
    "turned": jpeg(121, 163, exif=turned()),
    "CMYK, by Pillow": jpeg(121, 163, "CMYK"),
    "progressive with a thumbnail": jpeg(121, 163, progressive=True, exif=thumbnail_in_exif()),
}


def refused(data: bytes) -> bool:
    with pytest.raises(BadImage) as caught:
        decode(data, LIMITS)
    return caught.value.reason == "corrupt-image"


def at_an_eighth(height: int, width: int) -> tuple[int, int]:
    return height // 8, width // 8


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "end", [b"", b"\xff", bytes(1), bytes(500), b"\xff" * 40, bytes(40) + END, b"\xff" * 40 + END, END + bytes(300)]
)
def test_a_missing_or_padded_end_costs_no_pixel(kind: str, end: bytes) -> None:
    whole = KINDS[kind]
    assert whole.endswith(END)
    cut = whole.removesuffix(END) + end
    assert (decode(cut, LIMITS).pixels == decode(whole, LIMITS).pixels).all()
    small = decode(cut, LIMITS, at_an_eighth).pixels
    assert (small == decode(whole, LIMITS, at_an_eighth).pixels).all()
    assert small.shape[0] < 30


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(sorted(KINDS)), end=st.sampled_from([b"", END, bytes(200)]), part=st.floats(0.35, 0.97))
def test_one_that_ends_in_the_middle_is_refused_whatever_follows(kind: str, end: bytes, part: float) -> None:
    whole = KINDS[kind]
    assert refused(whole[: int(len(whole) * part)] + end)


def test_a_progressive_one_that_ends_between_two_scans_is_refused() -> None:
    for kind in ("progressive", "progressive with a thumbnail"):
        whole = KINDS[kind]
        starts = [at for at in range(len(whole)) if whole[at : at + 2] == b"\xff\xda"][-3:]
        for start in starts:
            assert refused(whole[:start])


@pytest.mark.parametrize("kind", KINDS)
def test_one_with_a_hole_is_refused(kind: str) -> None:
    whole = KINDS[kind]
    middle = len(whole) * 2 // 3
    assert refused(whole[:middle] + whole[middle + 700 :])


def test_bytes_behind_the_end_marker_are_nobody_s_business() -> None:
    whole = KINDS["baseline"]
    assert (decode(whole + b"camera 7, frame 12", LIMITS).pixels == decode(whole, LIMITS).pixels).all()


def test_a_black_picture_without_an_end_marker_is_whole() -> None:
    """Its last bytes may be zeros that are pixels."""
    for level in (0, 128, 255):
        whole = encode(Image.new("L", (640, 480), level), "JPEG")
        assert (
            decode(whole.removesuffix(END), LIMITS).pixels == np.asarray(Image.open(io.BytesIO(whole)))[..., None]
        ).all()
