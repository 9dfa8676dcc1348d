"""Anomaly maps as small PNG files that any viewer shows and that are decoded to numbers.

An 8-bit greyscale PNG: level 0 marks pixels without a value, levels 1 to 255 are evenly spaced from `andon-map-low` to
`andon-map-high`, two decimal numbers in tEXt chunks next to `andon-map` = ``1``, the version of this format.
"""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin

AnomalyMap = npt.NDArray[np.float32]
"""(rows, columns), float32, over the whole image; NaN where the detector has no value, such as padding."""

VERSION = "1"
LEVELS = 254  # steps between low and high


def encode_map(anomaly_map: AnomalyMap) -> bytes:
    """Return the map as PNG; values keep a precision of 1/254 of the map's own range.

    Raises `ValueError` for a map that is not two-dimensional, is empty or contains an infinity.
    """
    if anomaly_map.ndim != 2 or anomaly_map.size == 0:
        raise ValueError(f"an anomaly map has rows and columns, this one has shape {anomaly_map.shape}")
    if np.isinf(anomaly_map).any():
        raise ValueError("an anomaly map can't hold an infinity")
    valid = ~np.isnan(anomaly_map)
    low = float(anomaly_map[valid].min()) if valid.any() else 0.0
    high = float(anomaly_map[valid].max()) if valid.any() else 0.0
    span = high - low if high > low else 1.0
    relative = (np.where(valid, anomaly_map, low).astype(np.float64) - low) / span
    levels = np.where(valid, 1 + np.rint(relative * LEVELS), 0).astype(np.uint8)
    metadata = PngImagePlugin.PngInfo()
    metadata.add_text("andon-map", VERSION)
    metadata.add_text("andon-map-low", repr(low))
    metadata.add_text("andon-map-high", repr(high))
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "PNG", pnginfo=metadata)
    return buffer.getvalue()


def decode_map(data: bytes) -> AnomalyMap:
    """Decode a map to float32, NaN where it has no value; raises `ValueError` for other bytes."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            image.load()
            metadata = dict(image.info)
            levels = np.asarray(image)
        version, low, high = metadata["andon-map"], float(metadata["andon-map-low"]), float(metadata["andon-map-high"])
    except (OSError, SyntaxError, KeyError, ValueError) as error:
        raise ValueError(f"these {len(data)} bytes are not an anomaly map: {error!r}") from error
    if version != VERSION or levels.ndim != 2 or levels.dtype != np.uint8:
        raise ValueError(f"this anomaly map is of version {version}; this code reads version {VERSION}")
    values = low + (levels.astype(np.float64) - 1) / LEVELS * (high - low)
    return np.where(levels > 0, values, np.nan).astype(np.float32)
