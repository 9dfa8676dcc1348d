"""Which files of a folder in MVTec AD layout are drawn as shots and tested."""

import shutil
from pathlib import Path

import pytest

from benchmarks.accuracy.student import read_split
from scorer.evaluation.datasets import find_datasets, read_dataset
from scorer.evaluation.errors import EvaluationError
from tests.scorer.evaluation.dataset_folder import write_dataset


def test_shots_are_drawn_from_train_good_alone_and_never_twice(tmp_path: Path) -> None:
    dataset = read_dataset(write_dataset(tmp_path / "parts", pool=9))
    for seed in range(20):
        drawn = dataset.draw(8, seed)
        assert len(set(drawn)) == 8
        assert {path.parent for path in drawn} == {dataset.folder / "train" / "good"}


def test_a_draw_depends_on_dataset_shots_and_seed_alone(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "parts", pool=9)
    first, second = read_dataset(folder, limit=2), read_dataset(folder)
    assert first.draw(4, 3) == second.draw(4, 3)
    assert first.draw(4, 3) != first.draw(4, 4)


def test_a_limit_selects_the_images_that_the_student_was_evaluated_on(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "parts", good=9, bad=8)
    dataset, split = read_dataset(folder, limit=5), read_split(folder, limit=5)
    assert list(dataset.tested) == split.tested
    assert len(dataset.good) == len(dataset.bad) == 5


def test_contents_depend_on_the_tested_files(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "parts")
    dataset = read_dataset(folder)
    shutil.copytree(folder, tmp_path / "copy")
    assert read_dataset(tmp_path / "copy").contents == dataset.contents
    assert read_dataset(folder, limit=2).contents != dataset.contents
    (folder / "test" / "good" / "000.png").unlink()
    assert read_dataset(folder).contents != dataset.contents


def test_a_folder_of_datasets_stands_for_all_of_them(tmp_path: Path) -> None:
    folders = [write_dataset(tmp_path / name) for name in ("a", "b")]
    (tmp_path / "notes").mkdir()
    assert find_datasets([tmp_path]) == folders
    assert find_datasets([folders[1]]) == [folders[1]]


@pytest.mark.parametrize("missing", ["train/good", "test/good"])
def test_a_folder_that_is_not_a_dataset_is_refused_with_what_it_lacks(tmp_path: Path, missing: str) -> None:
    folder = write_dataset(tmp_path / "parts")
    shutil.rmtree(folder / missing)
    with pytest.raises(EvaluationError, match=missing):
        read_dataset(folder)


def test_too_few_normals_no_anomalies_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "parts", pool=3)
    with pytest.raises(EvaluationError, match="4 shots"):
        read_dataset(folder).draw(4, 0)
    shutil.rmtree(folder / "test" / "blot")
    with pytest.raises(EvaluationError, match="test/DEFECT"):
        read_dataset(folder)
    with pytest.raises(EvaluationError, match="nowhere"):
        find_datasets([tmp_path / "nowhere"])
