"""Images for the screen: thumbnails of frames, and anomaly maps as a transparent layer of heat."""

import io
import threading

import numpy as np
import numpy.typing as npt
from PIL import Image

from imaging.bit_depth import smallest_bit_depth
from imaging.contrast import describe_blank, is_blank
from imaging.decode import OpenedImage, TargetSize, open_image
from imaging.errors import BadImage
from imaging.limits import ImageLimits
from imaging.rgb import RgbImage
from storage.blobs.anomaly_maps import AnomalyMap

DEFAULT_LIMITS = ImageLimits()
MAX_DAMPING = 10.0
LARGE_PIXELS = 16_000_000
_LARGE = threading.Lock()  # of pictures above that, one is decoded at a time: each takes hundreds of megabytes

# Black, purple, red, orange, pale yellow: brightness rises monotonically, so the map is readable without colour vision.
_COLOUR_MAP = np.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], dtype=np.float64)


def thumbnail(
    data: bytes, max_width: int, max_height: int, limits: ImageLimits = DEFAULT_LIMITS, bit_depth: int | None = None
) -> bytes:
    """Return an encoded image as an upright JPEG of at most that size in pixels, with its aspect ratio.

    Args:
        data: The encoded image.
        max_width: Maximum width in pixels.
        max_height: Maximum height in pixels.
        limits: The limits on images, those of the scorer.
        bit_depth: See `shown_pixels`.

    Raises:
        ValueError: The bytes are not an image that can be shown.
    """

    def fit(height: int, width: int) -> tuple[int, int]:
        shrink = min(1.0, max_width / width, max_height / height)
        return round(height * shrink), round(width * shrink)

    try:
        image = Image.fromarray(shown_pixels(data, limits, bit_depth, fit))
    except BadImage as error:
        raise ValueError(f"these {len(data)} bytes can't be shown as an image: {error}") from error
    image.thumbnail((max_width, max_height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=86)
    return buffer.getvalue()


def shown_pixels(
    data: bytes,
    limits: ImageLimits = DEFAULT_LIMITS,
    bit_depth: int | None = None,
    target_size: TargetSize | None = None,
) -> RgbImage:
    """Return the pixels that the scorer sees, because the same decoder reads them.

    Args:
        data: The encoded image.
        limits: The limits on images.
        bit_depth: The station's. Where it is None, because nothing was learnt yet, or too small, so that the scorer
            refuses the frame, the image is shown at the smallest depth that holds it.
        target_size: As the decoder takes it.

    Raises:
        BadImage: The bytes are not an image within the limits.
    """
    opened = open_image(data, limits)
    if opened.width * opened.height <= LARGE_PIXELS:
        return _decoded(opened, limits, bit_depth, target_size)
    with _LARGE:
        return _decoded(opened, limits, bit_depth, target_size or _quarter, preview=True)


def _decoded(
    opened: OpenedImage,
    limits: ImageLimits,
    bit_depth: int | None,
    target_size: TargetSize | None,
    *,
    preview: bool = False,
) -> RgbImage:
    if not opened.is_deep:
        return opened.decode(target_size, preview=preview).pixels
    decoded = opened.decode()
    if decoded.largest_sample is None:  # the file states its depth
        return decoded.pixels
    depth = max(bit_depth or 0, smallest_bit_depth(decoded.largest_sample))
    return open_image(opened.data, limits).decode(bit_depth=depth).pixels


def _quarter(height: int, width: int) -> tuple[int, int]:
    return height // 4, width // 4


def pixels_of_thumbnail(data: bytes) -> RgbImage:
    """Return the pixels of a JPEG that `thumbnail` made."""
    return open_image(data, DEFAULT_LIMITS).decode().pixels


def require_usable_normal(data: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> None:
    """Check that an upload is an image, and that something can be seen on it.

    Raises:
        ValueError: It is not, and why.
    """
    try:
        pixels = shown_pixels(data, limits)
    except BadImage as error:
        raise ValueError(str(error)) from error
    if is_blank(pixels):
        raise ValueError(describe_blank(pixels))


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
