"""Folders in MVTec AD layout: which pictures are tested, which are drawn as shots, and the masks of defects."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from ingest.errors import BadFrame
from scorer.detectors.protocol import RgbImage
from scorer.evaluation.errors import EvaluationError
from scorer.imaging.decode import decode
from scorer.settings import ScorerSettings

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}


@dataclass(frozen=True, slots=True)
class Dataset:
    """What is tested and what shots are drawn from; `contents` is a hash of which files these are, and their sizes."""

    name: str
    folder: Path
    pool: tuple[Path, ...]
    good: tuple[Path, ...]
    bad: tuple[Path, ...]
    contents: str

    @property
    def has_masks(self) -> bool:
        return any(self.mask_of(path) is not None for path in self.bad)

    def mask_of(self, anomaly: Path) -> Path | None:
        """The mask of an anomaly, where there is one."""
        mask = self.folder / "ground_truth" / anomaly.parent.name / f"{anomaly.stem}_mask.png"
        return mask if mask.is_file() else None

    def draw(self, shots: int, seed: int) -> list[Path]:
        """The normals of one draw: the same for every method, since dataset, number and seed alone decide."""
        if shots > len(self.pool):
            raise EvaluationError(
                f"{self.folder}/train/good has {len(self.pool)} images; {shots} shots can't be drawn."
            )
        order = np.random.default_rng([seed, shots]).permutation(len(self.pool))
        return [self.pool[place] for place in order[:shots]]


def read_dataset(folder: Path, limit: int | None = None) -> Dataset:
    """List a folder, with at most `limit` normals and `limit` anomalies to test, always the same ones.

    Raises `EvaluationError` for a folder that lacks `train/good`, `test/good` or an anomaly.
    """
    folder = folder.resolve()
    draw = np.random.default_rng(0)

    def some(paths: list[Path]) -> tuple[Path, ...]:
        order = draw.permutation(len(paths))
        return tuple(paths[place] for place in sorted(order[:limit]))

    pool = _pictures(folder / "train" / "good")
    good = some(_pictures(folder / "test" / "good"))
    defects = sorted(path for path in (folder / "test").iterdir() if path.is_dir() and path.name != "good")
    bad = some(sorted(picture for defect in defects for picture in _listed(defect)))
    if not bad:
        raise EvaluationError(f"{folder}/test has no images beside good; anomalies lie in test/NAME-OF-THE-DEFECT.")
    contents = _digest(folder, [*pool, *good, *bad])
    return Dataset(folder.name, folder, tuple(pool), good, bad, contents)


def find_datasets(folders: Sequence[Path]) -> list[Path]:
    """The folders themselves, or, of a folder that holds datasets, all of those."""
    found: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise EvaluationError(f"There is no folder {folder}.")
        inside = [path for path in sorted(folder.iterdir()) if (path / "train" / "good").is_dir()]
        found += [folder] if (folder / "train" / "good").is_dir() or not inside else inside
    return found


def read_image(path: Path, limits: ScorerSettings) -> RgbImage:
    """Decode a file as a frame is; raises `EvaluationError` with its name where that can't be done."""
    try:
        return decode(path.read_bytes(), limits).picture
    except BadFrame as error:
        raise EvaluationError(f"{path}: {error}") from error


def _pictures(folder: Path) -> list[Path]:
    listed = _listed(folder) if folder.is_dir() else []
    if not listed:
        raise EvaluationError(f"There are no images in {folder}; a dataset has train/good, test/good and test/DEFECT.")
    return listed


def _listed(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)


def _digest(folder: Path, paths: Iterable[Path]) -> str:
    lines = [f"{path.relative_to(folder)} {path.stat().st_size}" for path in paths]
    return sha256("\n".join(lines).encode()).hexdigest()[:12]
