"""The frames of a simulated day."""

from pathlib import Path

import pytest

from scorer.evaluation.datasets import Dataset
from scorer.evaluation.errors import EvaluationError
from scorer.evaluation.stream.first_day import draw_first_day


def dataset(pool: int = 100, good: int = 40, bad: int = 30) -> Dataset:
    def paths(kind: str, count: int) -> tuple[Path, ...]:
        return tuple(Path(kind) / f"{number}.png" for number in range(count))

    return Dataset("d", Path("d"), paths("pool", pool), paths("good", good), paths("bad", bad), "")


def test_no_image_has_two_roles_and_the_stream_has_its_share_of_defects() -> None:
    day = draw_first_day(dataset(), 4, 100, 0.05, seed=0)
    assert (len(day.normals), len(day.stream), sum(day.is_defect), len(day.good), len(day.bad)) == (4, 100, 5, 20, 15)
    everything = [*day.normals, *day.stream, *day.good, *day.bad]
    assert len(set(everything)) == len(everything)
    assert [path.parent.name == "bad" for path in day.stream] == list(day.is_defect)


def test_a_small_dataset_has_a_shorter_stream_with_the_same_share() -> None:
    day = draw_first_day(dataset(pool=24), 4, 400, 0.2, seed=0)
    assert (len(day.stream), sum(day.is_defect)) == (50, 10)


def test_a_seed_holds_the_same_images_apart() -> None:
    few, many = draw_first_day(dataset(), 2, 50, 0.0, seed=3), draw_first_day(dataset(), 8, 100, 0.2, seed=3)
    assert (few.good, few.bad) == (many.good, many.bad)


def test_a_dataset_with_too_few_images_is_named() -> None:
    with pytest.raises(EvaluationError):
        draw_first_day(dataset(pool=4), 4, 100, 0.05, seed=0)
