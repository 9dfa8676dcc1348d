"""The scenes in front of the simulated cameras."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ingest.sources.simulated import coin_tray
from ingest.sources.simulated.defects import DefectRegion, DrawDefect, Mask, chip, foreign_part, scratch, stain
from ingest.sources.simulated.imaging import FloatImage
from ingest.sources.simulated.photographs import SIDE, crop

Draw = Callable[[np.random.Generator, str | None], tuple[FloatImage, Mask]]
"""Draws a part with a named defect, or a good one for None; returns its image and the defect's mask."""

BRICK_RED = np.array([0.47, 0.27, 0.20], dtype=np.float32)
MORTAR = np.array([0.80, 0.76, 0.68], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Scene:
    """A kind of part: its name, its possible defects, and the function that draws it."""

    object_name: str
    defects: tuple[str, ...]
    draw: Draw


@dataclass(frozen=True, slots=True)
class _SurfaceDefect:
    """A defect's drawing, its range of radii in pixels, and its possible centres (none: anywhere)."""

    draw: DrawDefect
    reach: tuple[float, float]
    centres: tuple[tuple[float, float], ...] = ()

    def apply(self, part: FloatImage, rng: np.random.Generator) -> tuple[FloatImage, Mask]:
        if self.centres:
            x, y = np.array(self.centres[int(rng.integers(len(self.centres)))]) + rng.uniform(-8, 8, 2)
        else:
            x, y = rng.uniform(0.2, 0.8, 2) * SIDE
        return self.draw(part, DefectRegion(float(x), float(y), float(rng.uniform(*self.reach))), rng)


def _surface(
    object_name: str, good: Callable[[np.random.Generator], FloatImage], kinds: Mapping[str, _SurfaceDefect]
) -> Scene:
    """Return a scene whose defects are all on the part's surface."""

    def draw(rng: np.random.Generator, defect: str | None) -> tuple[FloatImage, Mask]:
        part = good(rng)
        if defect is None:
            return part, np.zeros(part.shape[:2], dtype=np.bool_)
        return kinds[defect].apply(part, rng)

    return Scene(object_name, tuple(kinds), draw)


def _brick(rng: np.random.Generator) -> FloatImage:
    """Draw a brick wall; the grey photograph's tones get the colours of brick and mortar."""
    centre = 256 + rng.uniform(-20, 20), 256 + rng.uniform(-20, 20)
    grey = crop("brick", centre, float(rng.uniform(345, 365)), float(rng.normal(0, 0.8)))
    mortar = np.clip((grey - 0.36) / 0.22, 0, 1)[..., None]
    tone = BRICK_RED * (1 - mortar) + MORTAR * mortar
    return np.asarray(np.clip(grey[..., None] / 0.33 * tone * (1 - 0.5 * mortar), 0, 1), dtype=np.float32)


def _gravel(rng: np.random.Generator) -> FloatImage:
    centre = 256 + rng.uniform(-70, 70), 256 + rng.uniform(-70, 70)
    turned, mirrored = int(rng.integers(4)), bool(rng.integers(2))
    side, degrees = float(rng.uniform(350, 370)), float(rng.normal(0, 3))
    return crop("gravel", centre, side, degrees + 90 * turned, mirrored)


def _coffee(rng: np.random.Generator) -> FloatImage:
    centre = 280 + rng.normal(0, 3), 198 + rng.normal(0, 3)
    return crop("coffee", centre, float(rng.normal(404, 3)), float(rng.normal(0, 1)))


SAUCER = ((50, 270), (62, 335), (100, 400), (160, 450), (455, 330))
RIM = ((190, 268), (265, 285), (345, 265), (395, 215))

SCENES: Mapping[str, Scene] = {
    "coins": Scene("coin tray", coin_tray.DEFECTS, coin_tray.draw),
    "brick": _surface(
        "brick wall",
        _brick,
        {
            "scratch": _SurfaceDefect(scratch, (120, 180)),
            "stain": _SurfaceDefect(stain, (52, 80)),
            "missing_part": _SurfaceDefect(chip, (36, 56)),
        },
    ),
    "gravel": _surface(
        "gravel bed",
        _gravel,
        {
            "missing_part": _SurfaceDefect(chip, (60, 85)),
            "foreign_part": _SurfaceDefect(foreign_part, (52, 66)),
        },
    ),
    "coffee": _surface(
        "cup of coffee",
        _coffee,
        {
            "scratch": _SurfaceDefect(scratch, (40, 60), SAUCER[:4]),
            "stain": _SurfaceDefect(stain, (26, 38), SAUCER),
            "missing_part": _SurfaceDefect(chip, (13, 18), RIM),
        },
    ),
}
"""The simulated stations by name."""
