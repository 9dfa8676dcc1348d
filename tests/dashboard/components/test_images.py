import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dashboard.components import images
from imaging.decode import decode
from imaging.limits import ImageLimits
from tests.imaging.encoders import bitfields_bmp, png, tiff


def encoded(image: Image.Image, kind: str = "PNG", **more: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **more)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_a_thumbnail_keeps_the_aspect_ratio_and_is_never_larger_than_the_original() -> None:
    assert opened(images.thumbnail(encoded(Image.new("RGB", (1200, 600))), 300, 300)).size == (300, 150)
    assert opened(images.thumbnail(encoded(Image.new("RGB", (40, 30))), 300, 300)).size == (40, 30)


def encoded_everywhere() -> dict[str, tuple[bytes, int | None]]:
    """An image in every format and kind of pixels, and the bit depth of its station."""
    coarse = np.random.default_rng(0).integers(0, 256, (5, 8, 3), dtype=np.uint8)
    colours = np.asarray(Image.fromarray(coarse).resize((60, 40)))
    grey = colours[..., :1]
    deep = grey.astype(np.uint16) * 4 + 3
    hidden = Image.fromarray(np.dstack([colours, np.zeros((40, 60), np.uint8)]))
    half = Image.fromarray(np.dstack([colours, np.full((40, 60), 128, np.uint8)]))
    exif = Image.Exif()
    exif[0x0112] = 6
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    plain = Image.fromarray(colours)
    jpeg = encoded(plain, "JPEG")
    words = colours[..., 0].astype(np.uint32) << 4 | colours[..., 1].astype(np.uint32) << 12
    return {
        **{kind: (encoded(plain, kind), None) for kind in ("JPEG", "PNG", "TIFF", "BMP", "WEBP")},
        **{f"{kind}, alpha 0": (encoded(hidden, kind), None) for kind in ("PNG", "TIFF")},
        **{f"{kind}, half visible": (encoded(half, kind), None) for kind in ("PNG", "TIFF")},
        **{f"{kind}, turned": (encoded(plain, kind, exif=exif), None) for kind in ("JPEG", "PNG", "TIFF", "WEBP")},
        "JPEG, turned by XMP": (encoded(plain, "JPEG", xmp=xmp), None),
        "JPEG without an end": (jpeg[:-2], None),
        "JPEG, CMYK": (encoded(plain.convert("CMYK"), "JPEG"), None),
        "PNG, 10 of 16 bits": (png(deep), 10),
        "PNG, 10 of 16 bits at a station of 12": (png(deep), 12),
        "TIFF, 10 of 16 bits": (tiff(deep, order=">"), 10),
        "TIFF, 12 bits packed": (tiff(deep, 12), None),
        "TIFF, white is zero": (tiff(deep, photometric=0), 12),
        "TIFF, RGB of 16 bits": (tiff(colours.astype(np.uint16) * 257), 16),
        "BMP, shifted fields": (bitfields_bmp(words.astype(np.uint32), (0xFF0, 0xFF000, 0, 0)), None),
        "palette": (encoded(plain.convert("P"), "PNG"), None),
        "1 bit": (encoded(plain.convert("1"), "PNG"), None),
    }


EVERYWHERE = encoded_everywhere()


@pytest.mark.parametrize("kind", EVERYWHERE)
def test_the_pixels_that_are_shown_are_those_that_are_scored(kind: str) -> None:
    data, depth = EVERYWHERE[kind]
    scored = decode(data, ImageLimits(), bit_depth=depth).pixels
    assert (images.shown_pixels(data, bit_depth=depth) == scored).all()
    copy = opened(images.thumbnail(data, 100, 100, bit_depth=depth))
    assert (copy.format, copy.mode, copy.size) == ("JPEG", "RGB", scored.shape[1::-1])
    blurred = [np.asarray(image.convert("RGB").resize((6, 4)), float) for image in (copy, Image.fromarray(scored))]
    assert np.abs(blurred[0] - blurred[1]).max() < 30  # JPEG, and dots of one bit


def test_a_deep_image_is_shown_at_its_own_depth_where_the_station_s_is_not_known_or_too_small() -> None:
    deep = np.full((16, 16, 1), 1023, np.uint16)
    for depth in (None, 8, 10):
        assert images.shown_pixels(png(deep), bit_depth=depth)[0, 0].tolist() == [255] * 3
    assert images.shown_pixels(png(deep), bit_depth=12)[0, 0].tolist() == [63] * 3


@pytest.mark.parametrize("level", [0, 120, 255])
def test_a_blank_upload_is_no_good_part(level: int) -> None:
    blank = np.random.default_rng(0).normal(level, 1, (64, 64)).clip(0, 255).astype(np.uint8)
    with pytest.raises(ValueError, match="blank"):
        images.require_usable_normal(encoded(Image.fromarray(blank)))
    images.require_usable_normal(EVERYWHERE["PNG"][0])


def test_an_image_with_an_exif_rotation_is_shown_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by 90 degrees
    data = encoded(Image.new("RGB", (40, 20)), "JPEG", exif=exif)
    assert opened(images.thumbnail(data, 100, 100)).size == (20, 40)


@pytest.mark.parametrize("data", [b"", b"no picture", encoded(Image.new("RGB", (64, 64)))[:60]])
def test_bytes_that_are_no_image_raise_one_clear_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="bytes"):
        images.thumbnail(data, 10, 10)


def test_a_huge_image_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(ValueError, match="10 × 10"):
        images.thumbnail(encoded(Image.new("RGB", (10, 10))), 10, 10, ImageLimits(max_pixels=99))


def test_heat_grows_from_clear_to_bright_over_the_maps_own_range() -> None:
    layer = np.asarray(opened(images.heat_layer(np.array([[2.0, 3.0, 4.0]], dtype=np.float32))))
    assert layer[0, 0].tolist() == [0, 0, 4, 0]
    assert layer[0, 1].tolist() == [188, 55, 84, 159]  # 1.25 · 0.5 · 255
    assert layer[0, 2].tolist() == [252, 255, 164, 255]


def test_unscored_pixels_and_constant_maps_are_transparent() -> None:
    unseen = np.array([[np.nan, 1.0, 5.0]], dtype=np.float32)
    assert np.asarray(opened(images.heat_layer(unseen)))[0, 0, 3] == 0
    for flat in (np.full((2, 2), 0.3), np.full((2, 2), np.nan)):
        assert np.asarray(opened(images.heat_layer(flat.astype(np.float32))))[..., 3].max() == 0


def test_the_map_of_a_frame_that_passed_is_cooler_than_that_of_a_flagged_one() -> None:
    assert images.heat_damping(0.2, 0.4) == 2
    assert images.heat_damping(0.5, 0.4) == 1
    assert [images.heat_damping(*none) for none in ((None, None), (0.0, 0.4))] == [1, 1]
    values = np.array([[2.0, 3.0, 4.0]], dtype=np.float32)
    layer = np.asarray(opened(images.heat_layer(values, damping=2)))
    assert layer[0, 2].tolist() == [188, 55, 84, 159]  # the hottest pixel is half way up the scale
    assert images.legend_range(values, damping=2) == (2, 6)
    assert images.legend_range(np.full((2, 2), np.nan, dtype=np.float32), damping=2) is None


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK"])
def test_a_very_large_picture_is_made_small_before_it_is_made_anything_else(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "LARGE_PIXELS", 10_000)
    kind = "TIFF" if mode == "CMYK" else "PNG"
    colours = np.asarray(Image.radial_gradient("L").resize((600, 400)))
    large = encoded(Image.fromarray(colours).convert("RGB").convert(mode), kind)
    pixels = images.shown_pixels(large, target_size=lambda height, width: (40, 60))
    assert pixels.shape == (40, 60, 3)
    expected = np.asarray(Image.fromarray(decode(large, ImageLimits()).pixels).reduce(10)).astype(int)
    assert np.abs(pixels.astype(int) - expected).max() <= 3
    images.require_usable_normal(large)


def test_a_picture_bomb_takes_a_share_of_the_memory_of_its_pixels(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(encoded(Image.new("L", (9900, 9900))))
    code = (
        "import resource, sys; from pathlib import Path; from dashboard.components.images import thumbnail\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak(); thumbnail(Path(sys.argv[1]).read_bytes(), 320, 240); print((peak() - before) // 1024)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "bomb.png")], capture_output=True, text=True, check=True
    )
    assert int(ended.stdout) < 400  # MiB; three times as much when the pixels are made RGB first
