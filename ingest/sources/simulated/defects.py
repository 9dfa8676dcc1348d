"""Defects drawn into a scene as light would show them; each function returns the scene and the defect's mask.

A defect multiplies or shades the scene instead of painting over it, so the material's texture stays. The light comes
from the upper left.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from ingest.sources.simulated.imaging import FloatImage, blur, broadcast_plane, distance_from, smooth_noise
from ingest.sources.simulated.photographs import cut_disc, photograph_of

OVERSAMPLING = 3
BROWN = np.array([0.62, 0.85, 1.0], dtype=np.float32)  # the parts of red, green and blue that a brown drop absorbs

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class DefectRegion:
    """The centre of a defect and its approximate radius, in pixels."""

    x: float
    y: float
    reach: float


DrawDefect = Callable[[FloatImage, DefectRegion, np.random.Generator], tuple[FloatImage, Mask]]


def scratch(scene: FloatImage, region: DefectRegion, rng: np.random.Generator) -> tuple[FloatImage, Mask]:
    """Draw a tool's scratch: a thin bent groove, bright on the side that faces the light and dark on the other."""
    shape = (scene.shape[0], scene.shape[1])
    angle = rng.uniform(0, np.pi)
    along = np.array([np.cos(angle), np.sin(angle)])
    t = np.linspace(-1, 1, 240)[:, None]
    bend = np.array([-along[1], along[0]]) * rng.normal(0, 0.12) * region.reach
    wobble = np.cumsum(rng.normal(0, 0.0012 * region.reach, (240, 2)), axis=0)
    path = np.array([region.x, region.y]) + along * region.reach * t + bend * (1 - t * t) + wobble
    uneven = np.interp(t[:, 0], np.linspace(-1, 1, 9), rng.normal(size=9))
    pressure = np.clip((1 - t[:, 0] ** 2) ** 0.35 + 0.25 * uneven, 0.15, 1.3)
    groove = _stroke(shape, path, 0.9 + 1.3 * pressure)
    depth = np.clip(rng.uniform(0.5, 0.65) * (1 + 0.2 * smooth_noise(shape, 12, rng)), 0, 1)
    bright = broadcast_plane(groove * depth, scene)
    dark = broadcast_plane(np.clip(np.roll(groove, (1, 1), (0, 1)) - groove, 0, 1) * 0.55, scene)
    lit = min(1.0, 0.4 + 0.8 * float(scene.mean()))
    return scene * (1 - dark) * (1 - bright) + bright * lit, groove > 0.25


def stain(scene: FloatImage, region: DefectRegion, rng: np.random.Generator) -> tuple[FloatImage, Mask]:
    """Draw a dried drop with a few splashes, which darkens the scene, most along its edge."""
    shape = (scene.shape[0], scene.shape[1])
    inside = _blob(shape, region, 0.22, rng)
    for _ in range(int(rng.integers(1, 4))):
        away, angle = rng.uniform(1.15, 1.6) * region.reach, rng.uniform(0, 2 * np.pi)
        splash = DefectRegion(
            region.x + away * np.cos(angle),
            region.y + away * np.sin(angle),
            region.reach * float(rng.uniform(0.08, 0.2)),
        )
        inside = np.maximum(inside, _blob(shape, splash, 0.1, rng) * splash.reach / region.reach)
    inside = inside + 0.012 * smooth_noise(shape, 3, rng)
    body = _step(inside, 0.09)
    ring = np.exp(-(((inside - 0.07) / 0.07) ** 2))
    thickness = 0.33 + 0.05 * smooth_noise(shape, region.reach / 3, rng) + 0.05 * smooth_noise(shape, region.reach, rng)
    density = np.clip(body * (thickness + 0.16 * ring), 0, 0.75)
    return scene * (1 - broadcast_plane(density, scene) * (BROWN if scene.ndim == 3 else 1)), body > 0.3


def dent(scene: FloatImage, region: DefectRegion, rng: np.random.Generator) -> tuple[FloatImage, Mask]:
    """Draw a dent: a smooth hollow, dark on the side of the light and bright on the other."""
    shape = (scene.shape[0], scene.shape[1])
    depth = blur(_step(_blob(shape, region, 0.15, rng), 0.6), region.reach / 9)
    down, right = np.gradient(depth)
    slope = (down + right) / max(float(np.abs(down + right).max()), 1e-6)
    shading = 1 - 0.5 * slope - 0.18 * depth
    return np.clip(scene * broadcast_plane(shading, scene), 0, 1.2), depth > 0.12


def chip(scene: FloatImage, region: DefectRegion, rng: np.random.Generator) -> tuple[FloatImage, Mask]:
    """Draw a chip: a ragged hole with a rough floor, a shadow under its near edge and a lit far edge."""
    shape = (scene.shape[0], scene.shape[1])
    ragged = 0.05 * smooth_noise(shape, 5, rng) + 0.07 * smooth_noise(shape, 13, rng)
    hole = blur(_step(_blob(shape, region, 0.3, rng) + ragged, 0.06), 0.8)
    rough = 0.5 * smooth_noise(shape, 3, rng) + 0.7 * smooth_noise(shape, 7, rng) + 0.6 * smooth_noise(shape, 20, rng)
    around = np.median(scene[hole > 0.5], axis=0) if (hole > 0.5).any() else np.median(scene)
    shadow = np.clip(hole - np.roll(blur(hole, 2.5), (5, 5), (0, 1)), 0, 1)
    lit = np.clip(np.roll(hole, (2, 2), (0, 1)) - hole, 0, 1)
    floor = np.clip(around * broadcast_plane((0.8 + 0.11 * rough) * (1 - 0.6 * shadow), scene), 0.02, 1)
    cover = broadcast_plane(hole, scene)
    return scene * (1 - cover) * (1 + 0.35 * broadcast_plane(lit, scene)) + floor * cover, hole > 0.5


def foreign_part(scene: FloatImage, region: DefectRegion, rng: np.random.Generator) -> tuple[FloatImage, Mask]:
    """Draw a coin where none belongs, partly sunk in, with its shadow."""
    shape = (scene.shape[0], scene.shape[1])
    turn = float(rng.uniform(0, 360))
    face, disc = cut_disc(photograph_of("coins"), (335, 43, 27), shape, (region.x, region.y), region.reach, turn)
    cover = disc * _step(smooth_noise(shape, region.reach * 0.7, rng) + 1.3, 0.4)
    shadow = blur(np.roll(cover, (4, 3), (0, 1)), 3) * (1 - cover)
    under = scene * (1 - 0.6 * broadcast_plane(shadow, scene))
    return under * (1 - broadcast_plane(cover, scene)) + broadcast_plane(face * 0.9 * cover, scene), cover > 0.5


def _step(inside: FloatImage, softness: float) -> FloatImage:
    """Return 0 outside and 1 inside, with an edge `softness` wide."""
    ramp = np.clip(inside / softness, 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), dtype=np.float32)


def _blob(shape: tuple[int, int], region: DefectRegion, uneven: float, rng: np.random.Generator) -> FloatImage:
    """Return a field that is 1 in a region's centre, 0 along its smooth uneven outline, and negative outside."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    angle = np.arctan2(y - region.y, x - region.x)
    outline = np.ones(shape, dtype=np.float32)
    for waves in range(2, 8):
        outline += float(rng.normal(0, uneven / waves)) * np.cos(waves * angle + float(rng.uniform(0, 2 * np.pi)))
    distance = distance_from(shape, region.x, region.y) / region.reach
    return np.asarray(1 - distance / np.clip(outline, 0.4, 1.8), dtype=np.float32)


def _stroke(shape: tuple[int, int], path: npt.NDArray[np.float64], widths: npt.NDArray[np.float64]) -> FloatImage:
    """Return the coverage, 0 to 1, of a line through the points (x, y) of `path`, each with its width in pixels."""
    canvas = Image.new("L", (shape[1] * OVERSAMPLING, shape[0] * OVERSAMPLING))
    draw = ImageDraw.Draw(canvas)
    for (x, y), half in zip(path * OVERSAMPLING, widths * OVERSAMPLING / 2, strict=True):
        draw.ellipse((x - half, y - half, x + half, y + half), fill=255)
    return np.asarray(canvas.resize((shape[1], shape[0]), Image.Resampling.BOX), dtype=np.float32) / 255
