"""Pictures to learn from: random crops of photographs and made surfaces, lit, blurred, noised and packed at random."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter, ImageOps

from scorer.training.synthetic_surfaces import blemish, synthesise_surface

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class AugmentationProbabilities:
    """How often each change happens, as a share of the pictures."""

    made_surface: float = 0.25
    blemish: float = 0.25
    grey: float = 0.5
    flat: float = 0.3
    blur: float = 0.25
    noise: float = 0.35
    jpeg: float = 0.3
    collage: float = 0.1
    on_plain: float = 0.12
    inverted: float = 0.08


class RandomCrops:
    """Draws square training pictures from a folder of photographs; the same seed and number give the same picture."""

    def __init__(self, photos: Path, side: int, chances: AugmentationProbabilities | None = None) -> None:
        self._paths = sorted(path for path in photos.iterdir() if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
        if not self._paths:
            raise FileNotFoundError(f"There are no photographs (.jpg, .png) in {photos}.")
        self._side = side
        self._chances = chances or AugmentationProbabilities()

    def draw(self, seed: int, number: int) -> Picture:
        """The picture of that number, (side, side, 3), RGB."""
        draw = np.random.default_rng([seed, number])
        return self._degraded(draw, self._composed(draw))

    def _composed(self, draw: np.random.Generator) -> Image.Image:
        chances, side = self._chances, self._side
        picture = self._one(draw)
        if draw.random() < chances.collage:
            cut = int(draw.integers(side // 4, 3 * side // 4))
            picture.paste(self._one(draw).crop((0, 0, side, side - cut)), (0, cut))
        if draw.random() < chances.on_plain:
            size = int(draw.integers(side // 2, side))
            ground = Image.new("RGB", (side, side), tuple(int(c) for c in draw.integers(0, 256, 1).repeat(3)))
            left, top = (int(place) for place in draw.integers(0, side - size + 1, 2))
            ground.paste(picture.resize((size, size)), (left, top))
            picture = ground
        return blemish(draw, picture) if draw.random() < chances.blemish else picture

    def _one(self, draw: np.random.Generator) -> Image.Image:
        if draw.random() < self._chances.made_surface:
            return synthesise_surface(draw, self._side)
        with Image.open(self._paths[draw.integers(len(self._paths))]) as opened:
            picture = opened.convert("RGB")
        width, height = picture.size
        tall = min(width, height) * np.sqrt(draw.uniform(0.12, 1.0))
        wide = min(width, tall * np.exp(draw.uniform(-0.3, 0.3)))
        left, top = draw.uniform(0, width - wide), draw.uniform(0, height - tall)
        box = (left, top, left + wide, top + tall)
        picture = picture.resize((self._side, self._side), Image.Resampling.BILINEAR, box=box)
        turned = draw.integers(8)
        if turned % 2:
            picture = ImageOps.mirror(picture)
        return picture.rotate(90 * int(turned // 2)) if draw.random() < 0.5 else picture

    def _degraded(self, draw: np.random.Generator, picture: Image.Image) -> Picture:
        chances = self._chances
        if draw.random() < chances.grey:
            picture = picture.convert("L").convert("RGB")
        if draw.random() < chances.blur:
            picture = picture.filter(ImageFilter.GaussianBlur(float(draw.uniform(0.3, 2.5))))
        lit = np.asarray(picture, np.float32) / 255
        if draw.random() < chances.inverted:
            lit = 1 - lit
        lit = lit ** np.exp(draw.normal(0, 0.3)) * np.exp(draw.normal(0, 0.08, 3))
        if draw.random() < chances.flat:
            middle = draw.uniform(0.1, 0.9)
            lit = middle + (lit - lit.mean()) * draw.uniform(0.1, 0.7)
        lit = (lit - 0.5) * np.exp(draw.normal(0, 0.2)) + 0.5 + draw.normal(0, 0.07)
        if draw.random() < chances.noise:
            lit = lit + draw.normal(0, np.exp(draw.uniform(-5, -2.5)), lit.shape[:2])[..., None]
        finished: Picture = (np.clip(lit, 0, 1) * 255).astype(np.uint8)
        if draw.random() < chances.jpeg:
            packed = io.BytesIO()
            Image.fromarray(finished).save(packed, "JPEG", quality=int(draw.integers(30, 95)))
            finished = np.array(Image.open(packed))
        return finished
