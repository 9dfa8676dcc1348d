"""Plots of AUROC by shots are complete, small and reproducible."""

import sys
from pathlib import Path

import pytest

from scorer.evaluation.errors import EvaluationError
from scorer.evaluation.plots import plot_auroc_by_shots
from tests.scorer.evaluation.test_summary import RESULTS, result

MAX_FILE_BYTES = 150_000


def test_there_is_a_panel_per_dataset_and_one_for_the_mean_in_a_small_file(tmp_path: Path) -> None:
    many = dict(
        result(f"method {method}", f"set {dataset}", shots, seed, 0.5 + 0.01 * method + 0.02 * shots)
        for method in range(10)
        for dataset in range(5)
        for shots in (2, 4, 8)
        for seed in range(2)
    )
    (path,) = plot_auroc_by_shots(many, tmp_path / "plots", "accuracy")
    assert path == tmp_path / "plots" / "accuracy-andon-tiny.svg"
    drawn = path.read_text()
    assert all(f">set {dataset}<" in drawn for dataset in range(5))
    assert ">mean<" in drawn
    assert all(f">method {method}<" in drawn for method in range(10))
    assert len(drawn) < MAX_FILE_BYTES


def test_equal_results_are_plotted_to_equal_files(tmp_path: Path) -> None:
    (first,), (second,) = (plot_auroc_by_shots(RESULTS, tmp_path / name, "accuracy") for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_without_matplotlib_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(EvaluationError, match="matplotlib"):
        plot_auroc_by_shots(RESULTS, tmp_path, "accuracy")
