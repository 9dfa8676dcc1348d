"""Alpha: composited on white, unless it hides the picture that the camera took."""

import numpy as np
import pytest
from PIL import Image

from imaging.decode import decode, pixels_of
from imaging.limits import ImageLimits
from imaging.transparency import opaque
from tests.imaging.encoders import bitfields_bmp, chunk, encode, png, tiff

LIMITS = ImageLimits()
COLOURS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
GREY = COLOURS[..., :1]


def with_alpha(colours: np.ndarray, alpha: int) -> np.ndarray:
    return np.dstack([colours, np.full(colours.shape[:2], alpha, np.uint8)])


def bmp(alpha: int) -> bytes:
    red, green, blue = (COLOURS[..., index].astype(np.uint32) for index in range(3))
    words = red << 16 | green << 8 | blue | np.uint32(alpha << 24)
    return bitfields_bmp(words.astype(np.uint32), (0xFF0000, 0xFF00, 0xFF, 0xFF000000))


def rgba(kind: str, alpha: int) -> bytes:
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    return encode(Image.fromarray(with_alpha(COLOURS, alpha)), kind, **options)


@pytest.mark.parametrize("alpha", [0, 1, 15])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "BMP"])
def test_alpha_that_hides_the_whole_picture_is_ignored(kind: str, alpha: int) -> None:
    data = bmp(alpha) if kind == "BMP" else rgba(kind, alpha)
    assert (decode(data, LIMITS).pixels == COLOURS).all()


@pytest.mark.parametrize("alpha", [16, 128, 254, 255])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "BMP"])
def test_any_other_alpha_is_composited_on_white(kind: str, alpha: int) -> None:
    data = bmp(alpha) if kind == "BMP" else rgba(kind, alpha)
    expected = np.rint((COLOURS.astype(float) * alpha + 255 * (255 - alpha)) / 255)
    assert (decode(data, LIMITS).pixels == expected).all()


def test_a_few_visible_pixels_do_not_make_the_others_white() -> None:
    pixels = with_alpha(COLOURS, 0)
    pixels[0, :2, 3] = 255  # a counter that the camera writes into the first two pixels, of 2000
    assert (decode(encode(Image.fromarray(pixels), "PNG"), LIMITS).pixels == COLOURS).all()
    pixels[0, :3, 3] = 255
    assert (decode(encode(Image.fromarray(pixels), "PNG"), LIMITS).pixels[1:] == 255).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_with_alpha_is_treated_alike(kind: str) -> None:
    hidden = encode(Image.fromarray(with_alpha(GREY, 0), "LA"), kind)
    assert (decode(hidden, LIMITS).pixels == GREY).all()
    half = encode(Image.new("LA", (16, 16), (0, 128)), kind)
    assert decode(half, LIMITS).pixels[0, 0].tolist() == [127, 127, 127]


def test_sixteen_bits_with_alpha_are_treated_alike() -> None:
    for colours in (GREY, COLOURS):
        deep = np.dstack([colours.astype(np.uint16) * 257, np.zeros(GREY.shape[:2], np.uint16)])
        for data in (png(deep), tiff(deep), tiff(deep, order=">")):
            assert (decode(data, LIMITS).pixels == colours).all()


def test_premultiplied_colours_are_not_divided_by_an_alpha_that_hides_them() -> None:
    for data in (
        tiff(with_alpha(COLOURS, 0).astype(np.uint16), 8, tags={338: [1]}),
        tiff(np.dstack([COLOURS.astype(np.uint16) * 257, np.zeros(GREY.shape[:2], np.uint16)]), tags={338: [1]}),
        tiff(with_alpha(GREY, 0).astype(np.uint16), 8, tags={338: [1]}),
    ):
        pixels = decode(data, LIMITS).pixels
        assert (pixels == (COLOURS if (pixels[..., 0] != pixels[..., 1]).any() else GREY)).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_premultiplied_colours_are_composited_as_they_are(bits: int) -> None:
    scale = 1 if bits == 8 else 257
    values = np.full((16, 16, 4), 0, np.uint16)
    values[:] = np.array([64, 32, 0, 128]) * scale
    data = tiff(values, bits, tags={338: [1]})
    assert decode(data, LIMITS).pixels[0, 0].tolist() == [191, 159, 127]


def test_a_palette_is_looked_up_and_its_transparent_colour_laid_on_white() -> None:
    palette = Image.new("P", (16, 16), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.putpixel((0, 0), 0)
    assert decode(encode(palette, "PNG"), LIMITS).pixels[1, 1].tolist() == [10, 20, 30]
    half_hidden = palette.copy()
    half_hidden.paste(0, (0, 0, 16, 8))
    assert decode(encode(half_hidden, "PNG", transparency=1), LIMITS).pixels[15, 1].tolist() == [255, 255, 255]


def test_a_palette_that_is_all_transparent_keeps_its_colours() -> None:
    palette = Image.new("P", (16, 16), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    for transparency in (1, b"\0\0"):
        assert decode(encode(palette, "PNG", transparency=transparency), LIMITS).pixels[1, 1].tolist() == [10, 20, 30]


def test_a_transparent_colour_is_laid_on_white() -> None:
    half = Image.new("RGB", (16, 16), (9, 8, 7))
    half.paste((1, 2, 3), (0, 0, 16, 8))
    pixels = decode(encode(half, "PNG", transparency=(9, 8, 7)), LIMITS).pixels
    assert pixels[0, 0].tolist() == [1, 2, 3]
    assert pixels[15, 0].tolist() == [255, 255, 255]
    alone = Image.new("RGB", (16, 16), (9, 8, 7))
    assert decode(encode(alone, "PNG", transparency=(9, 8, 7)), LIMITS).pixels[0, 0].tolist() == [9, 8, 7]


def test_a_deep_image_whose_one_colour_is_transparent_keeps_it() -> None:
    values = np.full((16, 16, 1), 0x1234, np.uint16)
    assert decode(png(values, chunk(b"tRNS", b"\x12\x34")), LIMITS).pixels[0, 0].tolist() == [0x12] * 3


def test_an_image_that_pillow_opened_is_seen_as_its_file() -> None:
    for alpha in (0, 128, 255):
        image = Image.fromarray(with_alpha(COLOURS, alpha))
        assert (pixels_of(image) == decode(rgba("PNG", alpha), LIMITS).pixels).all()


def test_opaque_pixels_are_returned_as_they_are() -> None:
    assert (opaque(with_alpha(COLOURS, 255)) == COLOURS).all()
    assert (opaque(COLOURS) == COLOURS).all()
