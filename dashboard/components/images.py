"""Pictures for the screen: small copies of frames, and anomaly maps as a see-through layer of heat."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from storage.blobs.anomaly_maps import AnomalyMap

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")  # those the scorer decodes
MAX_PIXELS = 100_000_000  # the largest that the scorer takes unless told otherwise

# Black, purple, red, orange, pale yellow: brightness rises all the way, so it reads without seeing hue.
_HEAT = np.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], dtype=np.float64)


def small_copy(data: bytes, max_width: int, max_height: int) -> bytes:
    """A JPEG of at most that size in pixels, upright, its shape kept; raises `ValueError` when it can't be opened."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"a picture of {image.width} × {image.height} pixels is too large to show")
            image.draft("RGB", (max_width, max_height))
            upright = ImageOps.exif_transpose(image)
            copy = _eight_bits(upright)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"these {len(data)} bytes can't be shown as a picture: {error}") from error
    copy.thumbnail((max_width, max_height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    copy.save(buffer, "JPEG", quality=86)
    return buffer.getvalue()


def heat_layer(anomaly_map: AnomalyMap, calm: float = 1.0) -> bytes:
    """A PNG as large as the map: hotter and less see-through from the map's lowest value to the top of the scale.

    The top lies `calm` (1 or more) times as far above the lowest value as the map's highest does: see `calmness`.

    Where the detector did not look (NaN), and where the map is flat, nothing is drawn.
    """
    shares = heat_shares(anomaly_map) / calm
    steps = np.linspace(0, 1, len(_HEAT))
    layer = np.empty((*shares.shape, 4), dtype=np.uint8)
    for channel in range(3):
        layer[..., channel] = np.interp(shares, steps, _HEAT[:, channel])
    layer[..., 3] = np.rint(255 * np.clip(1.25 * shares, 0, 1))
    buffer = io.BytesIO()
    Image.fromarray(layer, "RGBA").save(buffer, "PNG")
    return buffer.getvalue()


def calmness(score: float | None, threshold: float | None) -> float:
    """How much cooler a frame's map is drawn: a frame that passed does not glow like one that was flagged."""
    if score is None or threshold is None or score <= 0:
        return 1.0
    return max(1.0, min(10.0, threshold / score))


def scale(anomaly_map: AnomalyMap, calm: float) -> tuple[float, float] | None:
    """The values that stand at both ends of the legend; None where the detector looked at nothing."""
    seen = anomaly_map[np.isfinite(anomaly_map)]
    if not seen.size:
        return None
    low = float(seen.min())
    return low, low + calm * (float(seen.max()) - low)


def heat_shares(anomaly_map: AnomalyMap) -> npt.NDArray[np.float64]:
    """The map stretched to 0..1 over its own range; 0 where it is NaN or flat."""
    seen = np.isfinite(anomaly_map)
    shares = np.zeros(anomaly_map.shape, dtype=np.float64)
    if seen.any():
        low, high = float(anomaly_map[seen].min()), float(anomaly_map[seen].max())
        if high > low:
            shares[seen] = (anomaly_map[seen].astype(np.float64) - low) / (high - low)
    return shares


def _eight_bits(image: Image.Image) -> Image.Image:
    """RGB; a 16-bit or floating picture is stretched over its own range, since eight bits can't hold it."""
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, dtype=np.float64)
        low, high = values.min(), values.max()
        values = (values - low) / (high - low) * 255 if high > low else np.zeros_like(values)
        return Image.fromarray(values.astype(np.uint8)).convert("RGB")
    return image.convert("RGB")
