"""Anomaly maps as PNG: shown by anything, read back as numbers."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from storage.blobs.anomaly_maps import AnomalyMap, decode_map, encode_map

MAPS = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.floats(-1e6, 1e6, width=32) | st.just(float("nan")),
)


@settings(max_examples=60, deadline=None)
@given(MAPS)
def test_a_map_is_decoded_within_half_a_level_and_nan_stays_nan(values: AnomalyMap) -> None:
    decoded = decode_map(encode_map(values))
    assert (np.isnan(decoded) == np.isnan(values)).all()
    valid = ~np.isnan(values)
    if valid.any():
        span = float(values[valid].max()) - float(values[valid].min())
        assert np.abs(decoded[valid].astype(float) - values[valid]).max() <= span / 254 / 2 + 0.1


def test_an_encoded_map_is_a_greyscale_png_scaled_to_its_range() -> None:
    with Image.open(io.BytesIO(encode_map(np.array([[0.25, 0.75], [np.nan, 1.25]], np.float32)))) as image:
        assert (image.format, image.mode) == ("PNG", "L")
        assert np.asarray(image).tolist() == [[1, 128], [0, 255]]
        assert image.info["andon-map-low"] == "0.25"
        assert image.info["andon-map-high"] == "1.25"


def test_other_files_are_refused() -> None:
    plain = io.BytesIO()
    Image.new("L", (2, 2)).save(plain, "PNG")
    for data in (b"", b"no png", plain.getvalue(), encode_map(np.ones((2, 2), np.float32))[:60]):
        with pytest.raises(ValueError):
            decode_map(data)


def test_an_invalid_map_is_refused() -> None:
    for values in (np.ones(3, np.float32), np.ones((0, 3), np.float32), np.full((2, 2), np.inf, np.float32)):
        with pytest.raises(ValueError):
            encode_map(values)
