"""The share of pictures that are called bad: ``python -m benchmarks.accuracy.picture_quality DATASET … [--json FILE]``.

A dataset is a folder in MVTec AD layout. Its normals are drawn from ``train/good``. The pictures of ``test`` are good
and defective parts, which must not be called bad, and copies of ``test/good`` that are spoilt on purpose, which must.
The time of a measurement is printed too. The exit code is 1 when more than 0.1 % of a dataset's parts are called bad.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.machine import describe_machine
from benchmarks.reporting import report_results
from imaging.decode import decode
from imaging.limits import ImageLimits
from imaging.quality.picture_quality import PictureLimits, PictureStatistics, find_problem, measure
from imaging.rgb import RgbImage

NORMALS = (2, 4, 8)
DRAWS = 50
SPOILT_PICTURES = 60
GOAL = 0.001
SIDE = 320
"""Pixels per side above which a JPEG is decoded at a part of its size, as for a network of 256 pixels."""

Spoil = Callable[[RgbImage, np.random.Generator], RgbImage]


def main() -> None:
    """Measure, print and, with --json, write the results; exit with 1 above the goal."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.picture_quality", description=__doc__)
    parser.add_argument("datasets", nargs="+", type=Path, help="folders with train/good and test")
    parser.add_argument("--json", type=Path, help="file for the results")
    options = parser.parse_args()
    rows = [row for dataset in options.datasets for row in of_dataset(dataset)]
    results = {"goal": GOAL, "draws": DRAWS, "rows": rows, "measure_us": measure_us(), "machine": describe_machine()}
    report_results(results, options.json)
    raise SystemExit(any(row["mean"] > GOAL for row in rows if row["pictures"] in ("good", "defects")))  # type: ignore[operator]


def of_dataset(folder: Path) -> Iterator[dict[str, object]]:
    """Yield a row per number of normals and kind of picture: the share called bad, its mean and worst draw."""
    normals = [measure(image) for image in images(folder / "train" / "good")]
    measured = dict(parts(folder)) | dict(spoilt(folder))
    generator = np.random.default_rng(0)
    for count in NORMALS:
        draws = [generator.choice(len(normals), count, replace=False) for _ in range(DRAWS)]
        limits = [PictureLimits.from_normals([normals[index] for index in draw]) for draw in draws]
        for name, pictures in measured.items():
            shares = [share_called_bad(pictures, each) for each in limits]
            yield {
                "dataset": folder.name,
                "normals": count,
                "pictures": name,
                "count": len(pictures),
                "mean": round(float(np.mean(shares)), 4),
                "worst": round(max(shares) if name in ("good", "defects") else min(shares), 4),
            }


def share_called_bad(pictures: Sequence[PictureStatistics], limits: PictureLimits) -> float:
    """Return the share of pictures with a problem."""
    return sum(find_problem(picture, limits) is not None for picture in pictures) / len(pictures)


def parts(folder: Path) -> Iterator[tuple[str, list[PictureStatistics]]]:
    """Yield the measured pictures of good parts, and of defective ones of every kind."""
    kinds = sorted(path for path in (folder / "test").iterdir() if path.is_dir())
    yield "good", [measure(image) for image in images(folder / "test" / "good")]
    yield "defects", [measure(image) for kind in kinds if kind.name != "good" for image in images(kind)]


def spoilt(folder: Path) -> Iterator[tuple[str, list[PictureStatistics]]]:
    """Yield the measured pictures of good parts, spoilt in each way."""
    originals = images(folder / "test" / "good")[:SPOILT_PICTURES]
    for name, spoil in SPOILS.items():
        generator = np.random.default_rng(0)
        yield name, [measure(spoil(image, generator)) for image in originals]


def images(folder: Path) -> list[RgbImage]:
    """Decode a folder's images as the line does."""
    limits = ImageLimits()
    return [
        decode(path.read_bytes(), limits, lambda height, width: (SIDE, SIDE)).pixels
        for path in sorted(folder.iterdir())
    ]


def uniform(level: int) -> Spoil:
    """Return a way to replace an image by one level."""
    return lambda image, _: np.full_like(image, level)


def exposed(factor: float) -> Spoil:
    """Return a way to expose an image `factor` times as long; what is brighter than white is clipped."""
    return lambda image, _: np.clip(image.astype(np.float32) * factor, 0, 255).astype(np.uint8)


def blurred(image: RgbImage, _: np.random.Generator) -> RgbImage:
    """Return an image out of focus: a Gaussian with a standard deviation of 4 % of its shorter side."""
    radius = 0.04 * min(image.shape[:2])
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def lens_cap(image: RgbImage, generator: np.random.Generator) -> RgbImage:
    """Return what a sensor sees in the dark: grey level 5, with a noise of 3."""
    noise = generator.normal(5, 3, (*image.shape[:2], 1))
    return np.clip(noise, 0, 255).astype(np.uint8).repeat(3, axis=2)


def half_grey(image: RgbImage, _: np.random.Generator) -> RgbImage:
    """Return an image whose lower half did not arrive."""
    return np.concatenate([image[: len(image) // 2], np.full_like(image[len(image) // 2 :], 128)])


SPOILS: Mapping[str, Spoil] = {
    "all black": uniform(0),
    "all white": uniform(255),
    "uniform grey": uniform(128),
    "exposure × 1/4": exposed(0.25),
    "exposure × 4": exposed(4),
    "blurred": blurred,
    "lens cap": lens_cap,
    "half missing": half_grey,
}


def measure_us() -> float:
    """Return the median microseconds that measuring an image of 480 × 640 pixels takes."""
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    took = []
    for _ in range(300):
        started_s = perf_counter()
        measure(image)
        took.append(perf_counter() - started_s)
    return round(1e6 * median(took), 1)


if __name__ == "__main__":
    main()
