"""The whole way on a small dataset, with the real backbone that needs no weights."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from scorer.evaluation.datasets import read_dataset
from scorer.evaluation.errors import EvaluationError
from scorer.evaluation.evaluate import EvaluationConfig, measure
from scorer.evaluation.metrics import auroc
from scorer.evaluation.results_log import EvaluationMetrics, ResultsLog
from scorer.evaluation.specs import load_backbone_setup, load_patch_detector
from scorer.imaging.decode import decode
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings
from tests.scorer.evaluation.dataset_folder import write_dataset

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = ScorerSettings(device="cpu", engine="torch", torch_threads=1)
TIMES = {"encode_ms", "score_ms", "fit_ms"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "parts")


def asked(folder: Path, **changes: object) -> EvaluationConfig:
    whole = EvaluationConfig(
        (folder,), ("nearest-patch",), ("filterbank",), Framing("letterbox"), shots=(2, 3), seeds=2
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def without_times(figures: EvaluationMetrics) -> dict[str, object]:
    return {name: value for name, value in asdict(figures).items() if name not in TIMES}


def test_every_cell_is_measured_and_a_second_run_measures_nothing(folder, tmp_path):
    done: list[int] = []
    journal = ResultsLog(tmp_path / "cells.jsonl")
    first = measure(asked(folder), journal, SETTINGS, done.append)
    assert done == [1, 2, 3, 4]
    assert {(key.shots, key.seed) for key in first.cells} == {(2, 0), (2, 1), (3, 0), (3, 1)}
    assert all(figures.auroc == 1 and figures.aupro > 0.8 for figures in first.cells.values())
    assert all(figures.score_ms > 0 and figures.encode_ms > 0 for figures in first.cells.values())
    lines = (tmp_path / "cells.jsonl").read_text()
    second = measure(asked(folder), ResultsLog(tmp_path / "cells.jsonl"), SETTINGS)
    assert second.cells == first.cells
    assert (tmp_path / "cells.jsonl").read_text() == lines


def test_stopped_anywhere_it_goes_on_and_comes_to_the_same_figures(folder, tmp_path):
    path = tmp_path / "cells.jsonl"
    whole = measure(asked(folder), ResultsLog(path), SETTINGS)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:1]) + lines[1][:40])
    resumed = measure(asked(folder), ResultsLog(path), SETTINGS)
    assert [without_times(one) for one in resumed.cells.values()] == [
        without_times(one) for one in whole.cells.values()
    ]
    assert [json.loads(line)["seed"] for line in path.read_text().splitlines()] == [0, 1, 0, 1]


def test_figures_are_those_of_the_detector_as_a_station_uses_it(folder, tmp_path):
    cells = measure(
        asked(folder, shots=(3,), seeds=1, framing=Framing("stretch")), ResultsLog(tmp_path / "c"), SETTINGS
    )
    dataset = read_dataset(folder)
    ground = load_backbone_setup("filterbank", Framing("stretch"), SETTINGS)
    detector = load_patch_detector("nearest-patch", dataset.name, ground, SETTINGS)

    def pictures(paths):
        return [decode(path.read_bytes(), SETTINGS).picture for path in paths]

    references = detector.references(pictures(dataset.draw(3, 0)), "part")
    good, bad = (detector.score(pictures(paths), references).image.numpy() for paths in (dataset.good, dataset.bad))
    (figures,) = cells.cells.values()
    assert figures.auroc == auroc(good, bad)
    assert figures.log_score_std == pytest.approx(float(np.log(good).std()), rel=1e-4)


def test_tokens_kept_in_a_folder_give_the_same_figures(folder, tmp_path):
    fresh = measure(asked(folder), ResultsLog(tmp_path / "a"), SETTINGS)
    kept = asked(folder, tokens=tmp_path / "tokens")
    measure(replace(kept, seeds=1), ResultsLog(tmp_path / "b"), SETTINGS)
    files = sorted((tmp_path / "tokens").rglob("*.npz"))
    assert len(files) >= 9
    again = measure(kept, ResultsLog(tmp_path / "c"), SETTINGS)
    assert [without_times(one) for one in again.cells.values()] == [without_times(one) for one in fresh.cells.values()]


def test_a_method_without_its_weights_is_named_with_the_reason_and_the_others_are_measured(folder, tmp_path):
    settings = SETTINGS.model_copy(update={"weights_path": tmp_path / "weights"})
    both = asked(folder, methods=("inctrl", "nearest-patch"), shots=(2,), seeds=1)
    measured = measure(both, ResultsLog(tmp_path / "cells"), settings)
    assert [key.method for key in measured.cells] == ["nearest-patch"]
    assert "weights" in measured.missing["inctrl"]


def test_a_file_that_is_no_image_is_named(tmp_path):
    broken = write_dataset(tmp_path / "broken")
    (broken / "test" / "good" / "001.png").write_bytes(b"nothing to see")
    with pytest.raises(EvaluationError, match=r"test/good/001\.png: .*none of JPEG"):
        measure(asked(broken), ResultsLog(tmp_path / "cells"), SETTINGS)


def test_more_shots_than_there_are_images_is_said_before_anything_is_measured(folder, tmp_path):
    with pytest.raises(EvaluationError, match="has 6 images; 8 shots"):
        measure(asked(folder, shots=(2, 8)), ResultsLog(tmp_path / "cells"), SETTINGS)
    assert not (tmp_path / "cells").exists()
