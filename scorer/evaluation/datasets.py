"""Datasets in MVTec AD layout: the images to test, the normals to draw shots from, and the masks of defects."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from imaging.decode import decode
from imaging.errors import BadImage
from imaging.rgb import RgbImage
from scorer.evaluation.errors import EvaluationError
from scorer.settings import ScorerSettings

IMAGE_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"))


@dataclass(frozen=True, slots=True)
class Dataset:
    """The files of one dataset.

    Attributes:
        name: The folder's name.
        folder: The folder.
        pool: All of ``train/good``, from which shots are drawn.
        good: The normals of ``test/good`` that are tested.
        bad: The anomalies of ``test/DEFECT`` that are tested.
        contents: A hash of these files' names and sizes.
    """

    name: str
    folder: Path
    pool: tuple[Path, ...]
    good: tuple[Path, ...]
    bad: tuple[Path, ...]
    contents: str

    @property
    def tested(self) -> tuple[Path, ...]:
        """The images that are scored: all normals, then all anomalies."""
        return self.good + self.bad

    @property
    def has_masks(self) -> bool:
        """Whether any anomaly has a mask."""
        return any(self.mask_of(path) is not None for path in self.bad)

    def mask_of(self, anomaly: Path) -> Path | None:
        """Return the path of an anomaly's mask, or None if it has none."""
        mask = self.folder / "ground_truth" / anomaly.parent.name / f"{anomaly.stem}_mask.png"
        return mask if mask.is_file() else None

    def draw(self, shots: int, seed: int) -> list[Path]:
        """Return `shots` normals; the draw depends on dataset, `shots` and `seed` alone, so methods share it.

        Raises:
            EvaluationError: There are fewer than `shots` normals.
        """
        if shots > len(self.pool):
            raise EvaluationError(
                f"{self.folder}/train/good has {len(self.pool)} images; {shots} shots can't be drawn."
            )
        order = np.random.default_rng([seed, shots]).permutation(len(self.pool))
        return [self.pool[index] for index in order[:shots]]


def read_dataset(folder: Path, limit: int | None = None) -> Dataset:
    """List a dataset's files; of more than `limit` normals or anomalies to test always the same subset.

    Raises:
        EvaluationError: The folder lacks ``train/good``, ``test/good`` or an anomaly.
    """
    folder = folder.resolve()
    generator = np.random.default_rng(0)

    def subset(paths: list[Path]) -> tuple[Path, ...]:
        order = generator.permutation(len(paths))
        return tuple(paths[index] for index in sorted(order[:limit]))

    pool = _require_images(folder / "train" / "good")
    good = subset(_require_images(folder / "test" / "good"))
    defects = sorted(path for path in (folder / "test").iterdir() if path.is_dir() and path.name != "good")
    bad = subset(sorted(image for defect in defects for image in list_images(defect)))
    if not bad:
        raise EvaluationError(f"{folder}/test has no images but good ones; put anomalies into test/DEFECT.")
    return Dataset(folder.name, folder, tuple(pool), good, bad, _digest(folder, [*pool, *good, *bad]))


def find_datasets(folders: Sequence[Path]) -> list[Path]:
    """Return the dataset folders among `folders` and directly inside them.

    Raises:
        EvaluationError: A folder does not exist.
    """
    found: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise EvaluationError(f"The folder {folder} does not exist.")
        inside = [path for path in sorted(folder.iterdir()) if (path / "train" / "good").is_dir()]
        found += [folder] if (folder / "train" / "good").is_dir() or not inside else inside
    return found


def read_image(path: Path, limits: ScorerSettings) -> RgbImage:
    """Decode an image file as the worker decodes a frame: (height, width, 3), uint8, RGB.

    Raises:
        EvaluationError: The file is not an image within the limits; the message names it.
    """
    try:
        return decode(path.read_bytes(), limits.image_limits).pixels
    except BadImage as error:
        raise EvaluationError(f"{path}: {error}") from error


def list_images(folder: Path) -> list[Path]:
    """Return the image files of a folder by their suffix, sorted by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)


def _require_images(folder: Path) -> list[Path]:
    images = list_images(folder) if folder.is_dir() else []
    if not images:
        raise EvaluationError(f"{folder} has no images; a dataset has train/good, test/good and test/DEFECT.")
    return images


def _digest(folder: Path, paths: Iterable[Path]) -> str:
    lines = [f"{path.relative_to(folder)} {path.stat().st_size}" for path in paths]
    return sha256("\n".join(lines).encode()).hexdigest()[:12]
