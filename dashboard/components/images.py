"""Images for the screen: thumbnails of frames, and anomaly maps as a transparent layer of heat."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from storage.blobs.anomaly_maps import AnomalyMap

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")  # those that the scorer decodes
MAX_PIXELS = 100_000_000  # the scorer's default limit
MAX_DAMPING = 10.0

# Black, purple, red, orange, pale yellow: brightness rises monotonically, so the map is readable without colour vision.
_COLOUR_MAP = np.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], dtype=np.float64)


def thumbnail(data: bytes, max_width: int, max_height: int) -> bytes:
    """Return an encoded image as an upright JPEG of at most that size in pixels, with its aspect ratio.

    Raises:
        ValueError: The bytes are not an image that can be shown.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"an image of {image.width} × {image.height} pixels is too large to show")
            image.draft("RGB", (max_width, max_height))
            copy = _to_eight_bits(ImageOps.exif_transpose(image))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"these {len(data)} bytes can't be shown as an image: {error}") from error
    copy.thumbnail((max_width, max_height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    copy.save(buffer, "JPEG", quality=86)
    return buffer.getvalue()


def heat_layer(anomaly_map: AnomalyMap, damping: float = 1.0) -> bytes:
    """Return an anomaly map as a PNG of its size, (height, width, 4), for drawing over the frame.

    The higher a value lies above the map's minimum, the hotter and the more opaque it is. Pixels that the detector did
    not score (NaN) and pixels of a constant map are transparent.

    Args:
        anomaly_map: The map, of any range.
        damping: How many times the map's own range the colour scale spans, 1 or more: see `heat_damping`.
    """
    heat = normalized(anomaly_map) / damping
    stops = np.linspace(0, 1, len(_COLOUR_MAP))
    layer = np.empty((*heat.shape, 4), dtype=np.uint8)
    for channel in range(3):
        layer[..., channel] = np.interp(heat, stops, _COLOUR_MAP[:, channel])
    layer[..., 3] = np.rint(255 * np.clip(1.25 * heat, 0, 1))
    buffer = io.BytesIO()
    Image.fromarray(layer, "RGBA").save(buffer, "PNG")
    return buffer.getvalue()


def heat_damping(score: float | None, threshold: float | None) -> float:
    """Return by what factor to cool a map, 1 to 10, so that a frame that passed looks cooler than a flagged one."""
    if score is None or threshold is None or score <= 0:
        return 1.0
    return max(1.0, min(MAX_DAMPING, threshold / score))


def legend_range(anomaly_map: AnomalyMap, damping: float) -> tuple[float, float] | None:
    """Return the values at both ends of the colour scale, or None where no pixel was scored."""
    scored = anomaly_map[np.isfinite(anomaly_map)]
    if not scored.size:
        return None
    low = float(scored.min())
    return low, low + damping * (float(scored.max()) - low)


def normalized(anomaly_map: AnomalyMap) -> npt.NDArray[np.float64]:
    """Return the map scaled to 0..1 over its own range, and 0 where it is NaN or constant."""
    scored = np.isfinite(anomaly_map)
    scaled = np.zeros(anomaly_map.shape, dtype=np.float64)
    if scored.any():
        low, high = float(anomaly_map[scored].min()), float(anomaly_map[scored].max())
        if high > low:
            scaled[scored] = (anomaly_map[scored].astype(np.float64) - low) / (high - low)
    return scaled


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Return the image as RGB; 16-bit and floating-point images are stretched over their own range."""
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, dtype=np.float64)
        low, high = values.min(), values.max()
        values = (values - low) / (high - low) * 255 if high > low else np.zeros_like(values)
        return Image.fromarray(values.astype(np.uint8)).convert("RGB")
    return image.convert("RGB")
