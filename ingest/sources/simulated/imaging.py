"""From a scene to an image file: lamp, lens, sensor and JPEG."""

import functools
import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

FloatImage = npt.NDArray[np.floating[Any]]
"""The light of a scene, (height, width) or (height, width, 3), from 0 for black to 1 for white."""

JPEG_QUALITY = 90
NOISE_SIDE = 1024
GRAIN = (255 * np.sqrt(0.006**2 + 0.00016 * np.arange(256) / 255)).astype(np.float32)
"""Standard deviation of the noise by grey level: read noise, and shot noise that grows with the light."""


def photograph(scene: FloatImage, rng: np.random.Generator, lamp: float = 1.0) -> bytes:
    """Return a JPEG of a scene, with uneven light, a slightly soft lens, a camera's sharpening, and noise.

    Args:
        scene: The light of the scene.
        rng: Draws exposure, softness, sharpening and noise.
        lamp: The lamp's brightness, 1 when new.
    """
    lit = scene * broadcast_plane(_light((scene.shape[0], scene.shape[1]), rng) * np.float32(lamp), scene)
    optics = _optics(softness=float(rng.uniform(0.45, 0.75)), sharpening=float(rng.uniform(0.4, 0.7)))
    levels = np.asarray(Image.fromarray(_levels(lit * 255)).filter(optics))
    noisy = levels + _noise(levels.shape, rng) * GRAIN[levels]
    encoded = io.BytesIO()
    Image.fromarray(_levels(noisy)).save(encoded, "JPEG", quality=JPEG_QUALITY)
    return encoded.getvalue()


def broadcast_plane(plane: FloatImage, scene: FloatImage) -> FloatImage:
    """Return one plane in a shape that broadcasts with a grey or a colour scene."""
    flat = plane.astype(np.float32)
    return flat if scene.ndim == 2 else flat[..., None]


def _optics(softness: float, sharpening: float) -> ImageFilter.Kernel:
    """Return the lens's blur and the camera's sharpening as one filter of 5 × 5 pixels."""
    lens = _gaussian(softness)
    kernel = (1 + sharpening) * np.outer(lens, lens) - sharpening * np.outer(_gaussian(1.2), _gaussian(1.2))
    return ImageFilter.Kernel((5, 5), kernel.ravel().tolist(), scale=1)


def _gaussian(sigma: float) -> FloatImage:
    taps = np.exp(-0.5 * (np.arange(-2, 3) / sigma) ** 2)
    return np.asarray(taps / taps.sum())


def _levels(light: FloatImage) -> npt.NDArray[np.uint8]:
    return np.asarray(np.clip(light + np.float32(0.5), 0, 255), dtype=np.uint8)


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> FloatImage:
    """Return noise of deviation 1, cut from one large patch at a random position, which is ten times faster."""
    top, left = rng.integers(0, NOISE_SIDE - np.array(shape[:2]), 2, endpoint=True)
    patch = _noise_patch()[top : top + shape[0], left : left + shape[1]]
    return patch if len(shape) == 3 else patch[..., 0]


@functools.cache
def _noise_patch() -> FloatImage:
    return np.random.default_rng(0).standard_normal((NOISE_SIDE, NOISE_SIDE, 3), dtype=np.float32)


def _light(shape: tuple[int, int], rng: np.random.Generator) -> FloatImage:
    """Return exposure, a gradient from one side and the lens's vignetting; about 1 everywhere."""
    y, x = np.meshgrid(np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1]), indexing="ij")
    gradient = 1 + rng.normal(0, 0.015) * x + rng.normal(0, 0.015) * y
    vignetting = 1 - 0.05 * (x * x + y * y)
    return np.asarray(gradient * vignetting * rng.normal(1, 0.015), dtype=np.float32)


def blur(image: FloatImage, sigma: float) -> FloatImage:
    """Return an image blurred by a Gaussian of `sigma` pixels along height and width, with mirrored edges."""
    radius = max(1, round(3 * sigma))
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2).astype(np.float32)
    taps /= taps.sum()
    for axis in (0, 1):
        padding = [(radius, radius) if axis == padded else (0, 0) for padded in range(image.ndim)]
        padded = np.pad(image, padding, mode="symmetric")
        image = np.zeros_like(image, dtype=np.float32)
        for start, tap in enumerate(taps):
            shifted = slice(start, start + image.shape[axis])
            image += tap * (padded[shifted] if axis == 0 else padded[:, shifted])
    return image


def smooth_noise(shape: tuple[int, int], cell: float, rng: np.random.Generator) -> FloatImage:
    """Return smooth noise of mean 0 and deviation about 1, whose blobs are about `cell` pixels wide."""
    rows, columns = (max(2, round(length / cell) + 2) for length in shape)
    coarse = Image.fromarray(rng.normal(size=(rows, columns)).astype(np.float32))
    fine = np.asarray(coarse.resize((shape[1], shape[0]), Image.Resampling.BICUBIC), dtype=np.float32)
    return np.asarray((fine - fine.mean()) / max(float(fine.std()), 1e-6), dtype=np.float32)


def distance_from(shape: tuple[int, int], x: float, y: float) -> FloatImage:
    """Return the distance of each pixel of an image of this shape from (x, y), in pixels."""
    right = np.arange(shape[1], dtype=np.float32) - np.float32(x)
    down = np.arange(shape[0], dtype=np.float32) - np.float32(y)
    return np.sqrt(right[None, :] ** 2 + down[:, None] ** 2)
