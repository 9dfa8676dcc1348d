"""What lies between a scene and an image file: lamp, lens, sensor and JPEG."""

import functools
import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

FloatImage = npt.NDArray[np.floating[Any]]
"""Light of a scene, (height, width) or (height, width, 3), 0 black to 1 white, in the sensor's grey levels."""

JPEG_QUALITY = 90
NOISE_SIDE = 1024
GRAIN = (255 * np.sqrt(0.006**2 + 0.00016 * np.arange(256) / 255)).astype(np.float32)
"""Deviation of the noise at each grey level: read noise, and shot noise that grows with the light."""


def photograph(scene: FloatImage, rng: np.random.Generator, lamp: float = 1.0) -> bytes:
    """Take a JPEG of a scene: uneven light, a lens that is a little soft, sharpening as cameras do, and noise.

    `lamp` is the lamp's brightness, 1 when new.
    """
    lit = scene * broadcast_plane(_light((scene.shape[0], scene.shape[1]), rng) * np.float32(lamp), scene)
    optics = _optics(softness=float(rng.uniform(0.45, 0.75)), sharpening=float(rng.uniform(0.4, 0.7)))
    levels = np.asarray(Image.fromarray(_levels(lit * 255)).filter(optics))
    noisy = levels + _noise(levels.shape, rng) * GRAIN[levels]
    encoded = io.BytesIO()
    Image.fromarray(_levels(noisy)).save(encoded, "JPEG", quality=JPEG_QUALITY)
    return encoded.getvalue()


def broadcast_plane(plane: FloatImage, scene: FloatImage) -> FloatImage:
    """One plane, shaped to go with a grey or a colour scene."""
    flat = plane.astype(np.float32)
    return flat if scene.ndim == 2 else flat[..., None]


def _optics(softness: float, sharpening: float) -> ImageFilter.Kernel:
    """The lens's blur and the camera's sharpening in one filter, five pixels wide."""
    lens = _bell(softness)
    kernel = (1 + sharpening) * np.outer(lens, lens) - sharpening * np.outer(_bell(1.2), _bell(1.2))
    return ImageFilter.Kernel((5, 5), kernel.ravel().tolist(), scale=1)


def _bell(sigma: float) -> FloatImage:
    taps = np.exp(-0.5 * (np.arange(-2, 3) / sigma) ** 2)
    return np.asarray(taps / taps.sum())


def _levels(light: FloatImage) -> npt.NDArray[np.uint8]:
    return np.asarray(np.clip(light + np.float32(0.5), 0, 255), dtype=np.uint8)


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> FloatImage:
    """Noise of deviation 1, cut from one large patch at a place that the dice choose: that is ten times quicker."""
    top, left = rng.integers(0, NOISE_SIDE - np.array(shape[:2]), 2, endpoint=True)
    patch = _noise_patch()[top : top + shape[0], left : left + shape[1]]
    return patch if len(shape) == 3 else patch[..., 0]


@functools.cache
def _noise_patch() -> FloatImage:
    return np.random.default_rng(0).standard_normal((NOISE_SIDE, NOISE_SIDE, 3), dtype=np.float32)


def _light(shape: tuple[int, int], rng: np.random.Generator) -> FloatImage:
    """Exposure, a slant from one side and the lens's fall-off to the corners; about 1 everywhere."""
    y, x = np.meshgrid(np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1]), indexing="ij")
    slant = 1 + rng.normal(0, 0.015) * x + rng.normal(0, 0.015) * y
    fall_off = 1 - 0.05 * (x * x + y * y)
    return np.asarray(slant * fall_off * rng.normal(1, 0.015), dtype=np.float32)


def blur(picture: FloatImage, sigma: float) -> FloatImage:
    """Gaussian blur along height and width; `sigma` in pixels, edges mirrored."""
    radius = max(1, round(3 * sigma))
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2).astype(np.float32)
    taps /= taps.sum()
    for axis in (0, 1):
        padding = [(radius, radius) if axis == padded else (0, 0) for padded in range(picture.ndim)]
        padded = np.pad(picture, padding, mode="symmetric")
        picture = np.zeros_like(picture, dtype=np.float32)
        for start, tap in enumerate(taps):
            shifted = slice(start, start + picture.shape[axis])
            picture += tap * (padded[shifted] if axis == 0 else padded[:, shifted])
    return picture


def smooth_noise(shape: tuple[int, int], cell: float, rng: np.random.Generator) -> FloatImage:
    """Smooth noise of mean 0 and deviation about 1 whose spots are about `cell` pixels wide."""
    rows, columns = (max(2, round(length / cell) + 2) for length in shape)
    coarse = Image.fromarray(rng.normal(size=(rows, columns)).astype(np.float32))
    fine = np.asarray(coarse.resize((shape[1], shape[0]), Image.Resampling.BICUBIC), dtype=np.float32)
    return np.asarray((fine - fine.mean()) / max(float(fine.std()), 1e-6), dtype=np.float32)


def distance_from(shape: tuple[int, int], x: float, y: float) -> FloatImage:
    """How far each pixel of a picture of this shape is from (x, y), in pixels."""
    right = np.arange(shape[1], dtype=np.float32) - np.float32(x)
    down = np.arange(shape[0], dtype=np.float32) - np.float32(y)
    return np.sqrt(right[None, :] ** 2 + down[:, None] ** 2)
