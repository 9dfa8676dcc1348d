"""A whole evaluation of a small dataset, with the backbone that needs no weights."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from imaging.decode import decode
from imaging.rgb import RgbImage
from scorer.evaluation.datasets import read_dataset
from scorer.evaluation.errors import EvaluationError
from scorer.evaluation.evaluate import EvaluationConfig, EvaluationResults, evaluate
from scorer.evaluation.metrics import auroc
from scorer.evaluation.results_log import ResultsLog
from scorer.evaluation.specs import load_backbone_setup, load_patch_detector
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings
from tests.scorer.evaluation.dataset_folder import write_dataset

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = ScorerSettings(device="cpu", engine="torch", torch_threads=1)
TIMES = {"encode_ms", "score_ms", "fit_ms"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "parts")


@pytest.fixture
def config(folder: Path) -> EvaluationConfig:
    return EvaluationConfig((folder,), ("nearest-patch",), ("filterbank",), Framing("letterbox"), (2, 3), seeds=2)


def without_times(results: EvaluationResults) -> list[dict[str, object]]:
    return [
        {name: value for name, value in asdict(metrics).items() if name not in TIMES}
        for metrics in results.metrics.values()
    ]


def test_every_draw_is_evaluated_and_a_second_run_evaluates_nothing(config: EvaluationConfig, tmp_path: Path) -> None:
    progress: list[int] = []
    log_path = tmp_path / "results.jsonl"
    first = evaluate(config, ResultsLog(log_path), SETTINGS, progress.append)
    assert progress == [1, 2, 3, 4]
    assert {(key.shots, key.seed) for key in first.metrics} == {(2, 0), (2, 1), (3, 0), (3, 1)}
    assert all(metrics.auroc == 1 and (metrics.aupro or 0) > 0.8 for metrics in first.metrics.values())
    assert all(metrics.score_ms > 0 and metrics.encode_ms > 0 for metrics in first.metrics.values())
    lines = log_path.read_text()
    second = evaluate(config, ResultsLog(log_path), SETTINGS)
    assert second.metrics == first.metrics
    assert log_path.read_text() == lines


def test_an_interrupted_evaluation_resumes_to_the_same_metrics(config: EvaluationConfig, tmp_path: Path) -> None:
    log_path = tmp_path / "results.jsonl"
    uninterrupted = evaluate(config, ResultsLog(log_path), SETTINGS)
    lines = log_path.read_text().splitlines(keepends=True)
    log_path.write_text("".join(lines[:1]) + lines[1][:40])
    resumed = evaluate(config, ResultsLog(log_path), SETTINGS)
    assert without_times(resumed) == without_times(uninterrupted)
    assert [json.loads(line)["seed"] for line in log_path.read_text().splitlines()] == [0, 1, 0, 1]


def test_metrics_are_those_of_the_detector_as_a_station_uses_it(config: EvaluationConfig, tmp_path: Path) -> None:
    stretched = replace(config, shots=(3,), seeds=1, framing=Framing("stretch"))
    (metrics,) = evaluate(stretched, ResultsLog(tmp_path / "log"), SETTINGS).metrics.values()
    dataset = read_dataset(config.folders[0])
    setup = load_backbone_setup("filterbank", Framing("stretch"), SETTINGS)
    detector = load_patch_detector("nearest-patch", dataset.name, setup, SETTINGS)

    def images(paths: Sequence[Path]) -> list[RgbImage]:
        return [decode(path.read_bytes(), SETTINGS.image_limits).pixels for path in paths]

    references = detector.references(images(dataset.draw(3, 0)), "part")
    good, bad = (detector.score(images(paths), references).image_scores for paths in (dataset.good, dataset.bad))
    assert metrics.auroc == auroc(good, bad)
    assert metrics.log_score_std == pytest.approx(float(np.log(good).std()), rel=1e-4)


def test_tokens_from_a_folder_give_the_same_metrics(config: EvaluationConfig, tmp_path: Path) -> None:
    fresh = evaluate(config, ResultsLog(tmp_path / "a"), SETTINGS)
    with_folder = replace(config, tokens=tmp_path / "tokens")
    evaluate(replace(with_folder, seeds=1), ResultsLog(tmp_path / "b"), SETTINGS)
    assert len(sorted((tmp_path / "tokens").rglob("*.npz"))) >= 9
    from_folder = evaluate(with_folder, ResultsLog(tmp_path / "c"), SETTINGS)
    assert without_times(from_folder) == without_times(fresh)


def test_a_method_without_its_weights_is_reported_and_the_others_are_evaluated(
    config: EvaluationConfig, tmp_path: Path
) -> None:
    settings = SETTINGS.model_copy(update={"weights_path": tmp_path / "weights"})
    both = replace(config, methods=("inctrl", "nearest-patch"), shots=(2,), seeds=1)
    results = evaluate(both, ResultsLog(tmp_path / "log"), settings)
    assert [key.method for key in results.metrics] == ["nearest-patch"]
    assert set(results.missing) == {"inctrl"}


def test_a_file_that_is_not_an_image_is_named(config: EvaluationConfig, tmp_path: Path) -> None:
    broken = write_dataset(tmp_path / "broken")
    (broken / "test" / "good" / "001.png").write_bytes(b"not an image")
    with pytest.raises(EvaluationError, match=r"test/good/001\.png"):
        evaluate(replace(config, folders=(broken,)), ResultsLog(tmp_path / "log"), SETTINGS)


def test_too_many_shots_are_refused_before_anything_is_evaluated(config: EvaluationConfig, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="8 shots"):
        evaluate(replace(config, shots=(2, 8)), ResultsLog(tmp_path / "log"), SETTINGS)
    assert not (tmp_path / "log").exists()
