"""Anomalies made on normal pictures, so that training needs no labelled set; each says where it changed the picture.

Cut-paste (Li et al., CVPR 2021, arXiv 2104.04015), textures under Perlin noise (DRÆM, Zavrtanik et al., ICCV 2021,
arXiv 2108.07610) and scratches.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from scorer.training.synthetic_surfaces import synthesise_surface

Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

MIN_MEAN_CHANGE = 10.0
"""Mean change inside the mask in grey levels of 255; what is fainter nobody would call an anomaly."""

MIN_AREA_CELLS, SIDE_CELLS = 1.0, 16
"""A mark covers at least so many cells of a 16 × 16 grid over the picture: less is lost once patches are compared."""

MAX_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class SyntheticAnomaly:
    """A picture with an anomaly, (H, W, 3), and where it is, (H, W); outside the mask the picture is as it was."""

    picture: Picture
    mask: Mask


AnomalySynthesiser = Callable[[np.random.Generator, Picture], SyntheticAnomaly]


def cut_paste(draw: np.random.Generator, picture: Picture) -> SyntheticAnomaly:
    """A rectangle of the picture, lit anew, turned or not, somewhere else in it."""
    height, width, _ = picture.shape
    area, aspect = draw.uniform(0.004, 0.12) * height * width, np.exp(draw.uniform(-1.2, 1.2))
    tall = int(np.clip(np.sqrt(area * aspect), 3, height - 1))
    wide = int(np.clip(np.sqrt(area / aspect), 3, width - 1))
    top, left = draw.integers(0, height - tall + 1), draw.integers(0, width - wide + 1)
    piece = picture[top : top + tall, left : left + wide].astype(np.float32)
    lit = (piece - piece.mean()) * draw.uniform(0.7, 1.3) + piece.mean() + draw.normal(0, 25)
    layer = Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))
    stencil = Image.new("L", layer.size, 255)
    if draw.random() < 0.5:
        degrees = float(draw.uniform(-45, 45))
        layer, stencil = layer.rotate(degrees, expand=True), stencil.rotate(degrees, expand=True)
    row = int(draw.integers(0, max(1, height - layer.height)))
    column = int(draw.integers(0, max(1, width - layer.width)))
    mask = np.asarray(_placed(stencil, (height, width), row, column)) > 0
    pasted = Image.fromarray(picture)
    pasted.paste(layer, (column, row), stencil)
    return SyntheticAnomaly(np.array(pasted), mask)


def foreign_texture(draw: np.random.Generator, picture: Picture) -> SyntheticAnomaly:
    """Another surface, or the picture itself turned round and lit anew, laid over it where Perlin noise is high."""
    height, width, _ = picture.shape
    field = perlin_noise(draw, (height, width), cells=int(2 ** draw.integers(1, 5)))
    mask = field > np.quantile(field, draw.uniform(0.85, 0.99))
    if draw.random() < 0.5:
        over = np.asarray(synthesise_surface(draw, 128).resize((width, height)), np.float64)
    else:
        over = picture[::-1, ::-1].astype(np.float64) + draw.normal(0, 40, 3)
    share = draw.uniform(0.3, 1)
    mixed = np.clip(share * over + (1 - share) * picture, 0, 255).astype(np.uint8)
    return SyntheticAnomaly(np.where(mask[..., None], mixed, picture), mask)


def scratch(draw: np.random.Generator, picture: Picture) -> SyntheticAnomaly:
    """One to three bent lines, brighter or darker than what they cross, soft or sharp."""
    height, width, _ = picture.shape
    side = min(height, width)
    layer = Image.new("L", (width, height), 0)
    pen = ImageDraw.Draw(layer)
    for _ in range(int(draw.integers(1, 4))):
        x, y = draw.uniform(0, width), draw.uniform(0, height)
        heading, bend, step = draw.uniform(0, 2 * np.pi), draw.uniform(0, 0.5), draw.uniform(0.02, 0.06) * side
        path = [(x, y)]
        for _ in range(int(draw.integers(3, 14))):
            heading += draw.normal(0, bend)
            x, y = x + step * np.cos(heading), y + step * np.sin(heading)
            path.append((x, y))
        pen.line(path, fill=255, width=max(1, round(draw.uniform(0.004, 0.02) * side)))
    softened = layer.filter(ImageFilter.GaussianBlur(float(draw.uniform(0, 1.5))))
    strength = np.asarray(softened, np.float32)[..., None] / 255
    tone = draw.uniform(0, 255, 3 if draw.random() < 0.3 else 1)
    mixed = picture + strength * draw.uniform(0.4, 1) * (tone - picture)
    return SyntheticAnomaly(np.clip(np.rint(mixed), 0, 255).astype(np.uint8), strength[..., 0] > 0)


SYNTHESISERS: tuple[AnomalySynthesiser, ...] = (cut_paste, foreign_texture, scratch)


def synthesise_anomaly(draw: np.random.Generator, picture: Picture) -> SyntheticAnomaly:
    """One kind of mark at random, drawn again until a person could see it."""
    smallest = MIN_AREA_CELLS * picture.shape[0] * picture.shape[1] / SIDE_CELLS**2
    for _ in range(MAX_ATTEMPTS):
        made = SYNTHESISERS[draw.integers(len(SYNTHESISERS))](draw, picture)
        change = np.abs(made.picture.astype(np.float32) - picture)[made.mask]
        if made.mask.sum() >= smallest and change.mean() >= MIN_MEAN_CHANGE:
            return made
    return _inverted(picture)


def perlin_noise(draw: np.random.Generator, size: tuple[int, int], cells: int) -> npt.NDArray[np.float64]:
    """Gradient noise on a lattice of `cells` × `cells`, about −1 to 1, (height, width) (Perlin, SIGGRAPH 1985)."""
    angles = draw.uniform(0, 2 * np.pi, (cells + 1, cells + 1))
    gradients = np.stack([np.sin(angles), np.cos(angles)], axis=-1)
    y = (np.arange(size[0]) + 0.5) / size[0] * cells
    x = (np.arange(size[1]) + 0.5) / size[1] * cells
    row, column = y.astype(int), x.astype(int)
    down, along = (y - row)[:, None], (x - column)[None, :]

    def corner(below: int, right: int) -> npt.NDArray[np.float64]:
        slope = gradients[np.ix_(row + below, column + right)]
        answer: npt.NDArray[np.float64] = slope[..., 0] * (down - below) + slope[..., 1] * (along - right)
        return answer

    upper = corner(0, 0) + _eased(along) * (corner(0, 1) - corner(0, 0))
    lower = corner(1, 0) + _eased(along) * (corner(1, 1) - corner(1, 0))
    noise: npt.NDArray[np.float64] = upper + _eased(down) * (lower - upper)
    return noise


def _eased(share: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return share**3 * (share * (share * 6 - 15) + 10)


def _placed(stencil: Image.Image, size: tuple[int, int], row: int, column: int) -> Image.Image:
    whole = Image.new("L", (size[1], size[0]), 0)
    whole.paste(stencil, (column, row))
    return whole


def _inverted(picture: Picture) -> SyntheticAnomaly:
    """The last resort on a picture on which every mark stays faint: its middle, inverted."""
    height, width, _ = picture.shape
    mask = np.zeros((height, width), np.bool_)
    mask[height // 3 : 2 * height // 3 + 1, width // 3 : 2 * width // 3 + 1] = True
    changed = np.where(picture < 128, picture + 128, picture - 128).astype(np.uint8)
    return SyntheticAnomaly(np.where(mask[..., None], changed, picture), mask)
