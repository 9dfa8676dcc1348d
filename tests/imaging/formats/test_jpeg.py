"""The fast JPEG decoder: the same pixels as Pillow's, or none."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image

from imaging import decode
from imaging.errors import BadImage
from imaging.formats.jpeg import PlainJpeg, decode_plain_jpeg, read_plain_jpeg_header
from imaging.limits import ImageLimits
from tests.scorer.worker.test_hostile import edits, mutate

LIMITS = ImageLimits()


def jpeg(height: int, width: int, mode: str = "RGB", **options: object) -> bytes:
    """Soft shapes and some grain."""
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((width, height))
    pixels = np.asarray(coarse) + generator.normal(0, 8, (height, width, 3))
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def by_pillow(data: bytes, scale: int = 1) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        image.draft(None, (image.width // scale, image.height // scale))
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("options", [{}, {"subsampling": "4:4:4"}, {"subsampling": "4:2:2"}, {"progressive": True}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("scale", [1, 2, 4, 8])
@pytest.mark.parametrize(("height", "width"), [(240, 320), (241, 323)])
def test_pixels_equal_pillows_at_every_scale(
    options: dict[str, object], mode: str, scale: int, height: int, width: int
) -> None:
    data = jpeg(height, width, mode, **options)
    assert read_plain_jpeg_header(data) == PlainJpeg(height, width, orientation=1)
    picture = decode_plain_jpeg(data, (height, width), (height // scale, width // scale))
    assert picture is not None
    assert np.array_equal(picture, by_pillow(data, scale))


@pytest.mark.parametrize(
    ("min_size", "shape"),
    [((240, 320), (240, 320)), ((239, 300), (240, 320)), ((120, 160), (120, 160)), ((61, 80), (120, 160))],
)
def test_the_decoded_image_is_never_smaller_than_requested(min_size: tuple[int, int], shape: tuple[int, int]) -> None:
    pixels_of_jpeg = decode_plain_jpeg(jpeg(240, 320), (240, 320), min_size)
    assert pixels_of_jpeg is not None
    assert pixels_of_jpeg.shape == (*shape, 3)


def test_other_jpegs_are_left_to_pillow() -> None:
    held_sideways = Image.Exif()
    held_sideways[0x0112] = 6
    turned = jpeg(24, 32, exif=held_sideways)
    assert read_plain_jpeg_header(turned) == PlainJpeg(24, 32, orientation=6)
    before_exif = turned.index(b"\xff\xe1")
    for filling in (b"\xff", b"\xff\x01", b"\xff\xd0"):  # a fill byte, and markers that are no segments
        assert read_plain_jpeg_header(turned[:before_exif] + filling + turned[before_exif:]) is None
    assert read_plain_jpeg_header(jpeg(24, 32, "CMYK")) is None
    assert read_plain_jpeg_header(b"\x89PNG\r\n\x1a\n") is None
    assert read_plain_jpeg_header(b"\xff\xd8") is None
    assert read_plain_jpeg_header(b"") is None


def test_a_truncated_stream_is_refused() -> None:
    data = jpeg(240, 320)
    torn = data[: len(data) // 2]
    assert read_plain_jpeg_header(torn) == PlainJpeg(240, 320, orientation=1)
    with pytest.raises(BadImage) as caught:
        decode_plain_jpeg(torn, (240, 320), (240, 320))
    assert caught.value.reason == "corrupt-image"
    with pytest.raises(BadImage):
        decode.decode(torn, LIMITS)


PLAIN = jpeg(24, 32)


@settings(max_examples=2000, deadline=None, database=None, derandomize=True)
@given(edits)
def test_hostile_bytes_give_pillows_pixels_or_none(changes: list[tuple[str, float, object]]) -> None:
    data = mutate(PLAIN, changes)
    header = read_plain_jpeg_header(data)
    if header is None or header.height * header.width > 1_000_000:
        return
    size = header.height, header.width
    try:
        picture = decode_plain_jpeg(data, size, size)
    except BadImage:
        return
    if picture is not None and data.endswith(b"\xff\xd9"):
        assert np.array_equal(picture, by_pillow(data))
