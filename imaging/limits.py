"""The limits on encoded images, checked before anything is decoded (docs/adr/0006)."""

from dataclasses import dataclass

MAX_BYTES = 64 * 1024 * 1024
MAX_PIXELS = 100_000_000


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """How large an image may be.

    Attributes:
        max_bytes: Maximum encoded bytes.
        max_pixels: Maximum pixels, width times height.
    """

    max_bytes: int = MAX_BYTES
    max_pixels: int = MAX_PIXELS
