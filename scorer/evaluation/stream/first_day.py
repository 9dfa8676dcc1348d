"""The frames of a simulated first day, drawn from a dataset without a frame in two roles."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scorer.evaluation.datasets import Dataset
from scorer.evaluation.errors import EvaluationError


@dataclass(frozen=True, slots=True)
class FirstDay:
    """The images of one day.

    Attributes:
        normals: The normals that the station starts with.
        stream: The frames in the order of their arrival.
        is_defect: Whether each of them is a defect.
        good: Good images held apart for testing.
        bad: Defects held apart for testing.
    """

    normals: Sequence[Path]
    stream: Sequence[Path]
    is_defect: Sequence[bool]
    good: Sequence[Path]
    bad: Sequence[Path]


def draw_first_day(dataset: Dataset, normals: int, frames: int, defect_rate: float, seed: int) -> FirstDay:
    """Draw a day; half of the dataset's tested images are held apart, and the others stream by with the pool.

    A small dataset gives a shorter stream, with the same share of defects. No image streams by twice: its second copy
    would have itself among the references.

    Args:
        dataset: Where the images come from.
        normals: How many normals the station starts with.
        frames: How many frames stream by at most.
        defect_rate: The share of defects among them.
        seed: Draws of one seed hold the same images apart, whatever the other arguments are.

    Raises:
        EvaluationError: The dataset has too few images to hold any apart.
    """
    generator = np.random.default_rng(seed)
    pool, good, bad = (_shuffled(paths, generator) for paths in (dataset.pool, dataset.good, dataset.bad))
    if len(pool) <= normals or len(good) < 2 or len(bad) < 2:
        raise EvaluationError(f"{dataset.folder} has too few images for a first day with {normals} normals.")
    good_test, bad_test = len(good) // 2, len(bad) // 2
    good_frames = [*pool[normals:], *good[good_test:]]
    length = min(frames, int(len(good_frames) / (1 - defect_rate)) if defect_rate < 1 else frames)
    defects = min(round(defect_rate * length), len(bad) - bad_test)
    stream = [*_shuffled(good_frames, generator)[: length - defects], *bad[bad_test : bad_test + defects]]
    order = generator.permutation(len(stream))
    return FirstDay(
        normals=pool[:normals],
        stream=[stream[index] for index in order],
        is_defect=[bool(index >= len(stream) - defects) for index in order],
        good=good[:good_test],
        bad=bad[:bad_test],
    )


def _shuffled(paths: Sequence[Path], generator: np.random.Generator) -> list[Path]:
    return [paths[index] for index in generator.permutation(len(paths))]
