import sys

import pytest

from scorer.evaluation.errors import EvaluationError
from scorer.evaluation.plots import plot_auroc_by_shots
from tests.scorer.evaluation.test_summary import CELLS, cell

LARGEST_FILE = 150_000


def test_a_panel_for_each_dataset_and_one_for_the_mean_small_enough_to_keep(tmp_path):
    many = dict(
        cell(f"method {method}", f"set {dataset}", shots, seed, 0.5 + 0.01 * method + 0.02 * shots)
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
    assert len(drawn) < LARGEST_FILE


def test_equal_figures_are_drawn_to_equal_files(tmp_path):
    (first,), (second,) = (plot_auroc_by_shots(CELLS, tmp_path / name, "accuracy") for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_without_matplotlib_a_sentence_says_what_to_install(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(EvaluationError, match="pip install matplotlib"):
        plot_auroc_by_shots(CELLS, tmp_path, "accuracy")
