"""What InCTRL's heads learn from: classes of pictures, each with normals to be prompts and queries of both kinds.

A class is a labelled set in MVTec layout, or is made of a photograph: one crop, seen a little differently each time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ingest.errors import BadFrame
from scorer.errors import ScorerError
from scorer.imaging.decode import decode
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings
from scorer.training.crops import AugmentationProbabilities, RandomCrops
from scorer.training.synthetic_anomalies import synthesise_anomaly
from storage.line.stations import FramingKind

Picture = npt.NDArray[np.uint8]
IMAGE_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"))
WHOLE_IMAGE_FRAMINGS: tuple[FramingKind, ...] = ("letterbox", "stretch", "centre_crop")
"""Framings without tiles."""

MIN_NORMALS = 2
NO_ORIGIN = -1

VIEWS_PER_CLASS = 6
"""Pictures of a class that is made of a photograph."""

CROP_PX, SHIFT_PX = 256, 24
"""A variant's side, and how far it may lie from the others: a cell and a half of andon-tiny's."""


class BadTrainingData(ScorerError):
    """A folder can't be learned from; the message names it and what it needs."""


@dataclass(frozen=True, slots=True)
class LabelledQuery:
    """A picture to judge. `origin` is the prompt that it is, or that it was made of: it must not be held against that.

    `NO_ORIGIN` where it is no prompt's.
    """

    read: Callable[[], Picture]
    anomalous: bool
    origin: int


@dataclass(frozen=True, slots=True)
class TrainingClass:
    """One class. `source` names what it came from, `noun` what it shows; `digest` changes with its content."""

    source: str
    noun: str
    digest: tuple[object, ...]
    prompts: Sequence[Callable[[], Picture]]
    queries: Sequence[LabelledQuery]


@dataclass(frozen=True, slots=True)
class DatasetLimits:
    """The most pictures taken of a labelled set; `made` anomalies are synthesised on its normals."""

    prompts: int = 32
    normals: int = 150
    anomalies: int = 150
    made: int = 96


def read_labelled_set(folder: Path, limits: DatasetLimits, seed: int) -> TrainingClass:
    """A set in MVTec layout: prompts from ``train/good`` alone, queries from it and from ``test``, where there is one.

    Raises `BadTrainingData` where ``train/good`` is missing or has fewer than two images.
    """
    if not (folder / "train" / "good").is_dir():
        raise BadTrainingData(f"{folder} has no folder train/good; put at least two normal images there.")
    draw = np.random.default_rng([seed, 1])
    train = _drawn(draw, _images(folder / "train" / "good"))
    if len(train) < MIN_NORMALS:
        raise BadTrainingData(
            f"{folder / 'train' / 'good'} has {len(train)} image{'s' * (len(train) != 1)} (.png, .jpg, …); training "
            f"needs at least {MIN_NORMALS} normals."
        )
    prompts = train[: limits.prompts]
    others = _drawn(draw, [*train[len(prompts) :], *_images(folder / "test" / "good")])
    normals = [(path, place) for place, path in enumerate(prompts)] + [(path, NO_ORIGIN) for path in others]
    normals = normals[: max(limits.normals, len(prompts))]
    anomalies = _evenly(draw, folder / "test")[: limits.anomalies]
    made = [normals[place % len(normals)] for place in range(limits.made)]
    queries = [
        *(LabelledQuery(_reading(path), False, origin) for path, origin in normals),
        *(LabelledQuery(_reading(path), True, NO_ORIGIN) for path in anomalies),
        *(LabelledQuery(_marking(path, [seed, 2, place]), True, origin) for place, (path, origin) in enumerate(made)),
    ]
    if not any(query.anomalous for query in queries):
        raise BadTrainingData(f"{folder} has no anomalies in test, and none are to be made on its normals.")
    digest = (str(folder), seed, limits, *((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in train))
    digest += tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in (*others, *anomalies))
    return TrainingClass(
        folder.name, folder.name.replace("_", " "), digest, [_reading(path) for path in prompts], queries
    )


def parse_whole_image_framing(name: str) -> Framing:
    """A framing that keeps pictures whole; raises `BadTrainingData` for another."""
    for kind in WHOLE_IMAGE_FRAMINGS:
        if name.replace("-", "_") == kind:
            return Framing(kind)
    raise BadTrainingData(f"There is no framing {name} to learn in; it is one of {', '.join(WHOLE_IMAGE_FRAMINGS)}.")


def synthetic_classes(photos: Path, count: int, seed: int) -> Iterator[TrainingClass]:
    """`count` classes made of photographs and made surfaces; raises `BadTrainingData` for a folder without any."""
    try:
        crops = RandomCrops(photos, CROP_PX + SHIFT_PX, AugmentationProbabilities(blemish=0))
    except OSError as error:
        raise BadTrainingData(f"{photos} has no photographs (.jpg, .png) that can be read: {error}") from error
    for number in range(count):
        variants = [_variant(crops, seed, number, place) for place in range(VIEWS_PER_CLASS)]
        queries = [
            *(LabelledQuery(read, False, place) for place, read in enumerate(variants)),
            *(
                LabelledQuery(_marked(read, [seed, 3, number, place]), True, place)
                for place, read in enumerate(variants)
            ),
        ]
        yield TrainingClass("photographs", "surface", (str(photos), seed, number), variants, queries)


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in IMAGE_SUFFIXES)


def _drawn(draw: np.random.Generator, paths: Sequence[Path]) -> list[Path]:
    return [paths[place] for place in draw.permutation(len(paths))]


def _evenly(draw: np.random.Generator, test: Path) -> list[Path]:
    """Anomalies of all kinds in turn, so that a limit takes as many of each."""
    kinds = [_drawn(draw, _images(folder)) for folder in sorted(test.glob("*")) if folder.name != "good"]
    longest = max((len(kind) for kind in kinds), default=0)
    return [kind[place] for place in range(longest) for kind in kinds if place < len(kind)]


def _reading(path: Path) -> Callable[[], Picture]:
    def read() -> Picture:
        try:
            return decode(path.read_bytes(), ScorerSettings()).picture
        except (BadFrame, OSError) as error:
            raise BadTrainingData(f"{path} can't be read; mend or remove it: {error}") from error

    return read


def _marking(path: Path, seed: Sequence[int]) -> Callable[[], Picture]:
    return _marked(_reading(path), seed)


def _marked(read: Callable[[], Picture], seed: Sequence[int]) -> Callable[[], Picture]:
    return lambda: synthesise_anomaly(np.random.default_rng(seed), read()).picture


def _variant(crops: RandomCrops, seed: int, number: int, place: int) -> Callable[[], Picture]:
    """The same crop, shifted, lit and noised a little."""

    def read() -> Picture:
        draw = np.random.default_rng([seed, 4, number, place])
        top, left = draw.integers(0, SHIFT_PX + 1, 2)
        seen = crops.draw(seed, number)[top : top + CROP_PX, left : left + CROP_PX].astype(np.float64)
        lit = seen * np.exp(draw.normal(0, 0.04)) + draw.normal(0, 3) + draw.normal(0, 2, (CROP_PX, CROP_PX, 1))
        picture: Picture = np.clip(np.rint(lit), 0, 255).astype(np.uint8)
        return picture

    return read
