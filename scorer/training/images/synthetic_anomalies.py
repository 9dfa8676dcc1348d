"""Anomalies synthesised on normal images, with a mask of the changed pixels, so that training needs no labels.

They are cut-paste (Li et al., CVPR 2021, arXiv 2104.04015), textures under Perlin noise (DRÆM, Zavrtanik et al., ICCV
2021, arXiv 2108.07610) and scratches.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from imaging.rgb import RgbImage
from scorer.training.images.synthetic_surfaces import random_path, synthesise_surface

Mask = npt.NDArray[np.bool_]

MIN_MEAN_CHANGE = 10.0
"""The least mean change inside the mask, in grey levels of 255; a fainter one would not count as an anomaly."""

MIN_AREA_CELLS, SIDE_CELLS = 1.0, 16
"""An anomaly covers at least one cell of a 16 × 16 grid over the image: a smaller one is lost between patches."""

MAX_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class SyntheticAnomaly:
    """An image with an anomaly.

    Attributes:
        image: (H, W, 3), uint8; equal to the normal image outside the mask.
        mask: (H, W), bool; True where the anomaly is.
    """

    image: RgbImage
    mask: Mask


AnomalySynthesiser = Callable[[np.random.Generator, RgbImage], SyntheticAnomaly]


def cut_paste(generator: np.random.Generator, image: RgbImage) -> SyntheticAnomaly:
    """Paste a rectangle of the image somewhere else in it, with other brightness and perhaps rotated."""
    height, width, _ = image.shape
    area, aspect = generator.uniform(0.004, 0.12) * height * width, np.exp(generator.uniform(-1.2, 1.2))
    patch_height = int(np.clip(np.sqrt(area * aspect), 3, height - 1))
    patch_width = int(np.clip(np.sqrt(area / aspect), 3, width - 1))
    top, left = generator.integers(0, height - patch_height + 1), generator.integers(0, width - patch_width + 1)
    patch = image[top : top + patch_height, left : left + patch_width].astype(np.float32)
    lit = (patch - patch.mean()) * generator.uniform(0.7, 1.3) + patch.mean() + generator.normal(0, 25)
    layer = Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))
    stencil = Image.new("L", layer.size, 255)
    if generator.random() < 0.5:
        degrees = float(generator.uniform(-45, 45))
        layer, stencil = layer.rotate(degrees, expand=True), stencil.rotate(degrees, expand=True)
    row = int(generator.integers(0, max(1, height - layer.height)))
    column = int(generator.integers(0, max(1, width - layer.width)))
    mask = np.asarray(_paste_at(stencil, (height, width), row, column)) > 0
    pasted = Image.fromarray(image)
    pasted.paste(layer, (column, row), stencil)
    return SyntheticAnomaly(np.array(pasted), mask)


def foreign_texture(generator: np.random.Generator, image: RgbImage) -> SyntheticAnomaly:
    """Blend another surface, or the rotated image itself, over the image where Perlin noise is high."""
    height, width, _ = image.shape
    field = perlin_noise(generator, (height, width), cells=int(2 ** generator.integers(1, 5)))
    mask = field > np.quantile(field, generator.uniform(0.85, 0.99))
    if generator.random() < 0.5:
        overlay = np.asarray(synthesise_surface(generator, 128).resize((width, height)), np.float64)
    else:
        overlay = image[::-1, ::-1].astype(np.float64) + generator.normal(0, 40, 3)
    opacity = generator.uniform(0.3, 1)
    mixed = np.clip(opacity * overlay + (1 - opacity) * image, 0, 255).astype(np.uint8)
    return SyntheticAnomaly(np.where(mask[..., None], mixed, image), mask)


def scratch(generator: np.random.Generator, image: RgbImage) -> SyntheticAnomaly:
    """Draw one to three bent lines, soft or sharp, in another tone."""
    height, width, _ = image.shape
    side = min(height, width)
    layer = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(layer)
    for _ in range(int(generator.integers(1, 4))):
        start = generator.uniform(0, width), generator.uniform(0, height)
        path = random_path(generator, start, side, max_bend=0.5, min_step=0.02, max_segments=13)
        draw.line(path, fill=255, width=max(1, round(generator.uniform(0.004, 0.02) * side)))
    softened = layer.filter(ImageFilter.GaussianBlur(float(generator.uniform(0, 1.5))))
    strength = np.asarray(softened, np.float32)[..., None] / 255
    tone = generator.uniform(0, 255, 3 if generator.random() < 0.3 else 1)
    mixed = image + strength * generator.uniform(0.4, 1) * (tone - image)
    return SyntheticAnomaly(np.clip(np.rint(mixed), 0, 255).astype(np.uint8), strength[..., 0] > 0)


SYNTHESISERS: tuple[AnomalySynthesiser, ...] = (cut_paste, foreign_texture, scratch)


def synthesise_anomaly(generator: np.random.Generator, image: RgbImage) -> SyntheticAnomaly:
    """Return one kind of anomaly at random, drawn again until it is large and strong enough to be visible."""
    smallest = MIN_AREA_CELLS * image.shape[0] * image.shape[1] / SIDE_CELLS**2
    for _ in range(MAX_ATTEMPTS):
        candidate = SYNTHESISERS[generator.integers(len(SYNTHESISERS))](generator, image)
        change = np.abs(candidate.image.astype(np.float32) - image)[candidate.mask]
        if candidate.mask.sum() >= smallest and change.mean() >= MIN_MEAN_CHANGE:
            return candidate
    return _invert_middle(image)


def perlin_noise(generator: np.random.Generator, size: tuple[int, int], cells: int) -> npt.NDArray[np.float64]:
    """Return gradient noise (Perlin, SIGGRAPH 1985), about −1 to 1, (height, width), on a `cells` × `cells` lattice."""
    angles = generator.uniform(0, 2 * np.pi, (cells + 1, cells + 1))
    gradients = np.stack([np.sin(angles), np.cos(angles)], axis=-1)
    y = (np.arange(size[0]) + 0.5) / size[0] * cells
    x = (np.arange(size[1]) + 0.5) / size[1] * cells
    row, column = y.astype(int), x.astype(int)
    down, along = (y - row)[:, None], (x - column)[None, :]

    def corner(below: int, right: int) -> npt.NDArray[np.float64]:
        slope = gradients[np.ix_(row + below, column + right)]
        dot_product: npt.NDArray[np.float64] = slope[..., 0] * (down - below) + slope[..., 1] * (along - right)
        return dot_product

    upper = corner(0, 0) + _ease(along) * (corner(0, 1) - corner(0, 0))
    lower = corner(1, 0) + _ease(along) * (corner(1, 1) - corner(1, 0))
    noise: npt.NDArray[np.float64] = upper + _ease(down) * (lower - upper)
    return noise


def _ease(fraction: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return fraction**3 * (fraction * (fraction * 6 - 15) + 10)


def _paste_at(stencil: Image.Image, size: tuple[int, int], row: int, column: int) -> Image.Image:
    canvas = Image.new("L", (size[1], size[0]), 0)
    canvas.paste(stencil, (column, row))
    return canvas


def _invert_middle(image: RgbImage) -> SyntheticAnomaly:
    """Invert the middle of an image on which every anomaly stayed too faint."""
    height, width, _ = image.shape
    mask = np.zeros((height, width), np.bool_)
    mask[height // 3 : 2 * height // 3 + 1, width // 3 : 2 * width // 3 + 1] = True
    changed = np.where(image < 128, image + 128, image - 128).astype(np.uint8)
    return SyntheticAnomaly(np.where(mask[..., None], changed, image), mask)
