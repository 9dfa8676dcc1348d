"""Anomaly maps as small PNG files that anything can show and that read back as numbers.

An 8-bit greyscale PNG: level 0 says "not looked at", levels 1 to 255 run evenly from `andon-map-low` to
`andon-map-high`, two decimal numbers in tEXt chunks beside `andon-map` = ``1``, the version of this format.
"""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin

AnomalyMap = npt.NDArray[np.float32]
"""(rows, columns), float32, over the whole picture; NaN where the detector did not look."""

VERSION = "1"
LEVELS = 254  # steps between low and high


def encode_map(anomaly_map: AnomalyMap) -> bytes:
    """Return the map as PNG; values keep a precision of 1/254 of the map's own range.

    Raises `ValueError` for a map that is not two-dimensional and non-empty, or holds an infinity.
    """
    if anomaly_map.ndim != 2 or anomaly_map.size == 0:
        raise ValueError(f"an anomaly map has rows and columns, this one has shape {anomaly_map.shape}")
    if np.isinf(anomaly_map).any():
        raise ValueError("an anomaly map can't hold an infinity")
    seen = ~np.isnan(anomaly_map)
    low = float(anomaly_map[seen].min()) if seen.any() else 0.0
    high = float(anomaly_map[seen].max()) if seen.any() else 0.0
    span = high - low if high > low else 1.0
    shares = (np.where(seen, anomaly_map, low).astype(np.float64) - low) / span
    levels = np.where(seen, 1 + np.rint(shares * LEVELS), 0).astype(np.uint8)
    notes = PngImagePlugin.PngInfo()
    notes.add_text("andon-map", VERSION)
    notes.add_text("andon-map-low", repr(low))
    notes.add_text("andon-map-high", repr(high))
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "PNG", pnginfo=notes)
    return buffer.getvalue()


def decode_map(data: bytes) -> AnomalyMap:
    """Read a map back, float32, NaN where the detector did not look; raises `ValueError` for anything else."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            image.load()
            notes = dict(image.info)
            levels = np.asarray(image)
        version, low, high = notes["andon-map"], float(notes["andon-map-low"]), float(notes["andon-map-high"])
    except (OSError, SyntaxError, KeyError, ValueError) as error:
        raise ValueError(f"these {len(data)} bytes are not an anomaly map: {error!r}") from error
    if version != VERSION or levels.ndim != 2 or levels.dtype != np.uint8:
        raise ValueError(f"this anomaly map is of version {version}; this code reads version {VERSION}")
    values = low + (levels.astype(np.float64) - 1) / LEVELS * (high - low)
    return np.where(levels > 0, values, np.nan).astype(np.float32)
