"""Orientation in EXIF and XMP, in every format that carries it."""

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from imaging.decode import decode, pixels_of
from imaging.limits import ImageLimits
from imaging.orientation import upright, xmp_orientation
from tests.imaging.encoders import encode, tiff

LIMITS = ImageLimits()
PICTURE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
ATTRIBUTE, ELEMENT = 'tiff:Orientation="{}"', "<tiff:Orientation>{}</tiff:Orientation>"


def packet(form: str, orientation: int) -> bytes:
    inside = form.format(orientation)
    element, attribute = (inside, "") if inside.startswith("<") else ("", inside)
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" {attribute}>{element}</rdf:Description>'
        "</rdf:RDF></x:xmpmeta>"
    ).encode()


def with_xmp(kind: str, xmp: bytes) -> bytes:
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
        return encode(Image.fromarray(PICTURE), kind, pnginfo=text)
    if kind == "TIFF":
        image = Image.fromarray(PICTURE)
        return encode(image, kind, tiffinfo={700: xmp})
    return encode(Image.fromarray(PICTURE), kind, xmp=xmp, **({"lossless": True} if kind == "WEBP" else {}))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("form", [ATTRIBUTE, ATTRIBUTE.replace('"', "'"), ATTRIBUTE.replace("=", " = "), ELEMENT])
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_orientation_in_xmp_alone_is_undone(kind: str, form: str, orientation: int) -> None:
    flat = decode(with_xmp(kind, packet(form, 1)), LIMITS).pixels
    turned = decode(with_xmp(kind, packet(form, orientation)), LIMITS).pixels
    assert (turned == upright(flat, orientation)).all()


def test_a_jpeg_is_scaled_by_its_upright_shape() -> None:
    picture = np.repeat(np.repeat(PICTURE, 10, axis=0), 10, axis=1)
    asked = []

    def target(height: int, width: int) -> tuple[int, int]:
        asked.append((height, width))
        return height // 4, width // 4

    data = encode(Image.fromarray(picture), "JPEG", xmp=packet(ATTRIBUTE, 6))
    assert decode(data, LIMITS, target).pixels.shape == (80, 60, 3)
    assert asked == [(320, 240)]


def test_exif_goes_before_xmp() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    for kind in ("JPEG", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        image = Image.fromarray(PICTURE)
        both = encode(image, kind, exif=exif, xmp=packet(ATTRIBUTE, 6), **options)
        assert (decode(both, LIMITS).pixels == decode(encode(image, kind, **options), LIMITS).pixels[::-1, ::-1]).all()


def test_a_deep_tiff_s_xmp_is_read_too() -> None:
    values = PICTURE[..., :1].astype(np.uint16)
    data = encode(Image.fromarray(values[..., 0]), "TIFF", tiffinfo={700: packet(ATTRIBUTE, 6)})
    flat = encode(Image.fromarray(values[..., 0]), "TIFF")
    turned = decode(data, LIMITS, bit_depth=8).pixels
    assert (turned == upright(decode(flat, LIMITS, bit_depth=8).pixels, 6)).all()
    assert decode(tiff(values, 12, tags={274: [6]}), LIMITS).pixels.shape == (32, 24, 3)


@pytest.mark.parametrize(
    "said", [b"", b"tiff:Orientation", b'tiff:Orientation="9"', b"<tiff:Orientation/>", b"\xff\xfe"]
)
def test_xmp_that_says_none_means_upright(said: bytes) -> None:
    assert xmp_orientation(said) is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le"])
def test_a_packet_is_read_in_any_encoding(encoding: str) -> None:
    assert xmp_orientation(packet(ATTRIBUTE, 8).decode().encode(encoding)) == 8


def test_an_image_that_pillow_opened_is_turned_as_its_file() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(PICTURE)
    image.getexif()[0x0112] = 6
    assert (pixels_of(image) == decode(encode(Image.fromarray(PICTURE), "PNG", exif=exif), LIMITS).pixels).all()
