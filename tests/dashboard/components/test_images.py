import io

import numpy as np
import pytest
from PIL import Image

from dashboard.components import images


def encoded(image: Image.Image, kind: str = "PNG", **more: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **more)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_a_thumbnail_keeps_the_aspect_ratio_and_is_never_larger_than_the_original() -> None:
    assert opened(images.thumbnail(encoded(Image.new("RGB", (1200, 600))), 300, 300)).size == (300, 150)
    assert opened(images.thumbnail(encoded(Image.new("RGB", (40, 30))), 300, 300)).size == (40, 30)


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P", "1", "I;16", "F"])
def test_every_image_format_that_the_scorer_decodes_can_be_shown(mode: str) -> None:
    kind = "TIFF" if mode in ("CMYK", "I;16", "F") else "PNG"
    copy = opened(images.thumbnail(encoded(Image.new(mode, (20, 10)), kind), 100, 100))
    assert (copy.format, copy.mode, copy.size) == ("JPEG", "RGB", (20, 10))


def test_sixteen_bits_are_stretched_over_their_own_range() -> None:
    ramp = Image.fromarray(np.linspace(1000, 1255, 256, dtype=np.uint16).reshape(16, 16))
    copy = np.asarray(opened(images.thumbnail(encoded(ramp), 16, 16)).convert("L"))
    assert copy.min() < 12
    assert copy.max() > 243


def test_an_image_with_an_exif_rotation_is_shown_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by 90 degrees
    data = encoded(Image.new("RGB", (40, 20)), "JPEG", exif=exif)
    assert opened(images.thumbnail(data, 100, 100)).size == (20, 40)


@pytest.mark.parametrize("data", [b"", b"no picture", encoded(Image.new("RGB", (64, 64)))[:60]])
def test_bytes_that_are_no_image_raise_one_clear_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="bytes"):
        images.thumbnail(data, 10, 10)


def test_a_huge_image_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 99)
    with pytest.raises(ValueError, match="10 × 10"):
        images.thumbnail(encoded(Image.new("RGB", (10, 10))), 10, 10)


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
