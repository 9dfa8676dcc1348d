"""Training images: random crops of photographs and synthetic surfaces, with random photometric augmentation."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from imaging.rgb import RgbImage
from scorer.training.images.synthetic_surfaces import add_blemishes, synthesise_surface


@dataclass(frozen=True, slots=True)
class AugmentationProbabilities:
    """The probability of each change to an image, in [0, 1].

    Attributes:
        surface: A synthetic surface in place of a photograph.
        blemish: Scratches, stains or dents.
        grey: No colour.
        low_contrast: A reduced contrast around a random grey.
        blur: A Gaussian blur.
        noise: Gaussian noise.
        jpeg: A lossy JPEG.
        collage: Two images, one above the other.
        on_plain: A smaller image on a plain background.
        inverted: Inverted brightness.
    """

    surface: float = 0.25
    blemish: float = 0.25
    grey: float = 0.5
    low_contrast: float = 0.3
    blur: float = 0.25
    noise: float = 0.35
    jpeg: float = 0.3
    collage: float = 0.1
    on_plain: float = 0.12
    inverted: float = 0.08


class RandomCrops:
    """Square training images from a folder of photographs; equal seed and number give an equal image."""

    def __init__(self, photos: Path, side: int, probabilities: AugmentationProbabilities | None = None) -> None:
        """List the photographs; images are `side` × `side` pixels.

        Raises:
            FileNotFoundError: The folder has no photographs.
        """
        self._paths = sorted(path for path in photos.iterdir() if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
        if not self._paths:
            raise FileNotFoundError(f"{photos} has no photographs (.jpg, .png).")
        self._side = side
        self._probabilities = probabilities or AugmentationProbabilities()

    def draw(self, seed: int, number: int) -> RgbImage:
        """Return the image of that number, (side, side, 3), uint8, RGB."""
        generator = np.random.default_rng([seed, number])
        return self._augment(generator, self._compose(generator))

    def _compose(self, generator: np.random.Generator) -> Image.Image:
        probabilities, side = self._probabilities, self._side
        image = self._draw_one(generator)
        if generator.random() < probabilities.collage:
            cut = int(generator.integers(side // 4, 3 * side // 4))
            image.paste(self._draw_one(generator).crop((0, 0, side, side - cut)), (0, cut))
        if generator.random() < probabilities.on_plain:
            size = int(generator.integers(side // 2, side))
            background = Image.new("RGB", (side, side), tuple(int(c) for c in generator.integers(0, 256, 1).repeat(3)))
            left, top = (int(offset) for offset in generator.integers(0, side - size + 1, 2))
            background.paste(image.resize((size, size)), (left, top))
            image = background
        return add_blemishes(generator, image) if generator.random() < probabilities.blemish else image

    def _draw_one(self, generator: np.random.Generator) -> Image.Image:
        if generator.random() < self._probabilities.surface:
            return synthesise_surface(generator, self._side)
        with Image.open(self._paths[generator.integers(len(self._paths))]) as opened:
            photo = opened.convert("RGB")
        width, height = photo.size
        crop_height = min(width, height) * np.sqrt(generator.uniform(0.12, 1.0))
        crop_width = min(width, crop_height * np.exp(generator.uniform(-0.3, 0.3)))
        left, top = generator.uniform(0, width - crop_width), generator.uniform(0, height - crop_height)
        box = (left, top, left + crop_width, top + crop_height)
        crop = photo.resize((self._side, self._side), Image.Resampling.BILINEAR, box=box)
        orientation = generator.integers(8)
        if orientation % 2:
            crop = ImageOps.mirror(crop)
        return crop.rotate(90 * int(orientation // 2)) if generator.random() < 0.5 else crop

    def _augment(self, generator: np.random.Generator, image: Image.Image) -> RgbImage:
        probabilities = self._probabilities
        if generator.random() < probabilities.grey:
            image = image.convert("L").convert("RGB")
        if generator.random() < probabilities.blur:
            image = image.filter(ImageFilter.GaussianBlur(float(generator.uniform(0.3, 2.5))))
        values = np.asarray(image, np.float32) / 255
        if generator.random() < probabilities.inverted:
            values = 1 - values
        values = values ** np.exp(generator.normal(0, 0.3)) * np.exp(generator.normal(0, 0.08, 3))
        if generator.random() < probabilities.low_contrast:
            middle = generator.uniform(0.1, 0.9)
            values = middle + (values - values.mean()) * generator.uniform(0.1, 0.7)
        values = (values - 0.5) * np.exp(generator.normal(0, 0.2)) + 0.5 + generator.normal(0, 0.07)
        if generator.random() < probabilities.noise:
            values = values + generator.normal(0, np.exp(generator.uniform(-5, -2.5)), values.shape[:2])[..., None]
        augmented: RgbImage = (np.clip(values, 0, 1) * 255).astype(np.uint8)
        if generator.random() < probabilities.jpeg:
            encoded = io.BytesIO()
            Image.fromarray(augmented).save(encoded, "JPEG", quality=int(generator.integers(30, 95)))
            augmented = np.array(Image.open(encoded))
        return augmented
