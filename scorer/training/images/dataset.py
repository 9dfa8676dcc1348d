"""Training classes: sets of images, each with normals as prompts and labelled queries to score against them.

A class is read from a labelled dataset in MVTec AD layout, or is made from a photograph: views of one crop.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from imaging.decode import decode
from imaging.errors import BadImage
from imaging.limits import ImageLimits
from imaging.rgb import RgbImage
from scorer.errors import ScorerError
from scorer.evaluation.datasets import IMAGE_SUFFIXES
from scorer.imaging.framing import Framing
from scorer.training.images.crops import AugmentationProbabilities, RandomCrops
from scorer.training.images.synthetic_anomalies import synthesise_anomaly
from storage.line.normal_sets import MIN_IMAGES
from storage.line.stations import FramingKind

WHOLE_IMAGE_FRAMINGS: tuple[FramingKind, ...] = ("letterbox", "stretch", "centre_crop")
"""Framings without tiles."""

NO_ORIGIN = -1

VIEWS_PER_CLASS = 6
"""How many views a class has that is made from a photograph."""

VIEW_SIDE_PX, MAX_SHIFT_PX = 256, 24
"""The side of a view, and how far it may be shifted: 1.5 cells of andon-tiny's grid."""

ReadImage = Callable[[], RgbImage]


class BadTrainingData(ScorerError):
    """Raised for a folder that cannot be trained on; the message names it and what it needs."""


@dataclass(frozen=True, slots=True)
class LabelledQuery:
    """An image to score during training.

    Attributes:
        read: Reads or makes the image.
        anomalous: The label.
        origin: The index of the prompt that the image is, or was made from, and must not be compared with; `NO_ORIGIN`
            if there is none.
    """

    read: ReadImage
    anomalous: bool
    origin: int


@dataclass(frozen=True, slots=True)
class TrainingClass:
    """The images of one kind of object.

    Attributes:
        source: The dataset's name, or ``photographs``.
        noun: The noun of text prompts about it.
        digest: Changes with the content.
        prompts: Read the normals to compare with.
        queries: The images to score.
    """

    source: str
    noun: str
    digest: tuple[object, ...]
    prompts: Sequence[ReadImage]
    queries: Sequence[LabelledQuery]


@dataclass(frozen=True, slots=True)
class DatasetLimits:
    """The most images of each kind from one labelled dataset; `synthetic` anomalies are made on its normals."""

    prompts: int = 32
    normals: int = 150
    anomalies: int = 150
    synthetic: int = 96


@dataclass(frozen=True, slots=True)
class TrainingDataConfig:
    """The data to train on: labelled datasets, and classes made from photographs."""

    datasets: Sequence[Path]
    photos: Path | None = None
    photo_classes: int = 200
    limits: DatasetLimits = field(default_factory=DatasetLimits)


def load_training_classes(config: TrainingDataConfig, seed: int) -> list[TrainingClass]:
    """Return all classes to train on.

    Raises:
        BadTrainingData: There are none, two datasets have one name, or a dataset cannot be trained on.
    """
    names = [folder.resolve().name for folder in config.datasets]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise BadTrainingData(f"Two folders are named {repeated}; a dataset is known by that name, so rename one.")
    classes = [read_labelled_set(folder.resolve(), config.limits, seed) for folder in config.datasets]
    if config.photos is not None:
        classes += synthetic_classes(config.photos, config.photo_classes, seed)
    if not classes:
        raise BadTrainingData("There is nothing to train on; name a labelled dataset, photographs, or both.")
    return classes


def read_labelled_set(folder: Path, limits: DatasetLimits, seed: int) -> TrainingClass:
    """Return the class of a dataset: prompts from ``train/good`` alone, queries from it and from ``test`` if it exists.

    Raises:
        BadTrainingData: ``train/good`` is missing or has fewer than two images, or there are no anomalies.
    """
    if not (folder / "train" / "good").is_dir():
        raise BadTrainingData(f"{folder} has no folder train/good; put at least two normal images there.")
    generator = np.random.default_rng([seed, 1])
    train = _shuffle(generator, _list_images(folder / "train" / "good"))
    if len(train) < MIN_IMAGES:
        raise BadTrainingData(
            f"{folder / 'train' / 'good'} has {len(train)} image{'s' * (len(train) != 1)} (.png, .jpg, …); training "
            f"needs at least {MIN_IMAGES} normals."
        )
    prompts = train[: limits.prompts]
    others = _shuffle(generator, [*train[len(prompts) :], *_list_images(folder / "test" / "good")])
    normals = [(path, index) for index, path in enumerate(prompts)] + [(path, NO_ORIGIN) for path in others]
    normals = normals[: max(limits.normals, len(prompts))]
    anomalies = _alternate_defects(generator, folder / "test")[: limits.anomalies]
    synthetic = [normals[index % len(normals)] for index in range(limits.synthetic)]
    queries = [
        *(LabelledQuery(_reader(path), False, origin) for path, origin in normals),
        *(LabelledQuery(_reader(path), True, NO_ORIGIN) for path in anomalies),
        *(
            LabelledQuery(_with_anomaly(_reader(path), [seed, 2, index]), True, origin)
            for index, (path, origin) in enumerate(synthetic)
        ),
    ]
    if not any(query.anomalous for query in queries):
        raise BadTrainingData(f"{folder} has no anomalies in test, and none are to be synthesised on its normals.")
    files = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in (*train, *others, *anomalies)]
    digest = (str(folder), seed, limits, *files)
    return TrainingClass(
        folder.name, folder.name.replace("_", " "), digest, [_reader(path) for path in prompts], queries
    )


def synthetic_classes(photos: Path, count: int, seed: int) -> Iterator[TrainingClass]:
    """Yield `count` classes made from photographs and synthetic surfaces.

    Raises:
        BadTrainingData: The folder has no photographs.
    """
    try:
        crops = RandomCrops(photos, VIEW_SIDE_PX + MAX_SHIFT_PX, AugmentationProbabilities(blemish=0))
    except OSError as error:
        raise BadTrainingData(f"{photos} has no photographs (.jpg, .png) that can be read: {error}") from error
    for number in range(count):
        views = [_view(crops, seed, number, index) for index in range(VIEWS_PER_CLASS)]
        queries = [
            *(LabelledQuery(read, False, index) for index, read in enumerate(views)),
            *(
                LabelledQuery(_with_anomaly(read, [seed, 3, number, index]), True, index)
                for index, read in enumerate(views)
            ),
        ]
        yield TrainingClass("photographs", "surface", (str(photos), seed, number), views, queries)


def parse_whole_image_framing(name: str) -> Framing:
    """Return the framing of that name.

    Raises:
        BadTrainingData: The framing does not exist, or cuts images into tiles.
    """
    for kind in WHOLE_IMAGE_FRAMINGS:
        if name.replace("-", "_") == kind:
            return Framing(kind)
    raise BadTrainingData(
        f"The framing {name} does not exist or cuts images into tiles; choose one of {', '.join(WHOLE_IMAGE_FRAMINGS)}."
    )


def _list_images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in IMAGE_SUFFIXES)


def _shuffle(generator: np.random.Generator, paths: Sequence[Path]) -> list[Path]:
    return [paths[index] for index in generator.permutation(len(paths))]


def _alternate_defects(generator: np.random.Generator, test: Path) -> list[Path]:
    """List anomalies of all kinds of defect in turn, so that a limit takes equally many of each."""
    kinds = [_shuffle(generator, _list_images(folder)) for folder in sorted(test.glob("*")) if folder.name != "good"]
    longest = max((len(kind) for kind in kinds), default=0)
    return [kind[index] for index in range(longest) for kind in kinds if index < len(kind)]


def _reader(path: Path) -> ReadImage:
    def read() -> RgbImage:
        try:
            return decode(path.read_bytes(), ImageLimits()).pixels
        except (BadImage, OSError) as error:
            raise BadTrainingData(f"{path} can't be read; repair or remove it: {error}") from error

    return read


def _with_anomaly(read: ReadImage, seed: Sequence[int]) -> ReadImage:
    return lambda: synthesise_anomaly(np.random.default_rng(seed), read()).image


def _view(crops: RandomCrops, seed: int, number: int, index: int) -> ReadImage:
    """Return a reader of one crop that is shifted, lit and noised a little, differently for each index."""

    def read() -> RgbImage:
        generator = np.random.default_rng([seed, 4, number, index])
        top, left = generator.integers(0, MAX_SHIFT_PX + 1, 2)
        shifted = crops.draw(seed, number)[top : top + VIEW_SIDE_PX, left : left + VIEW_SIDE_PX].astype(np.float64)
        lit = shifted * np.exp(generator.normal(0, 0.04)) + generator.normal(0, 3)
        noisy = lit + generator.normal(0, 2, (VIEW_SIDE_PX, VIEW_SIDE_PX, 1))
        view: RgbImage = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
        return view

    return read
