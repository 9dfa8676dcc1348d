"""Results are summarised over draws and datasets, and written as tables and JSON."""

from pathlib import Path
from statistics import fmean

import pytest

from scorer.evaluation.errors import EvaluationError
from scorer.evaluation.json_report import read_auroc, write_json_report
from scorer.evaluation.results_log import EvaluationMetrics, ResultKey
from scorer.evaluation.summary import (
    MethodOnBackbone,
    auroc_by_dataset,
    choose_leaving_one_out,
    summarise_by_dataset,
    summarise_over_datasets,
)
from scorer.evaluation.tables import build_tables, render_markdown, replace_between_markers


def result(
    method: str, dataset: str, shots: int, seed: int, auroc: float, aupro: float | None = None
) -> tuple[ResultKey, EvaluationMetrics]:
    key = ResultKey(method, "andon-tiny", "m", "letterbox", dataset, "c", None, shots, seed)
    return key, EvaluationMetrics(auroc, 0.5, aupro, aupro, 0.01, 0.5, 0.2, 20.0, 3.0 + seed, 40.0, 10, 10)


RESULTS = dict(
    [
        result("a", "bolts", 2, 0, 0.80),
        result("a", "bolts", 2, 1, 0.90),
        result("a", "nuts", 2, 0, 0.60, aupro=0.4),
        result("a", "nuts", 2, 1, 0.60, aupro=0.6),
        result("b", "bolts", 2, 0, 0.70),
        result("b", "bolts", 2, 1, 0.70),
        result("b", "nuts", 2, 0, 0.90, aupro=0.8),
        result("b", "nuts", 2, 1, 0.90, aupro=0.8),
    ]
)


def test_a_row_has_mean_and_standard_deviation_over_the_draws() -> None:
    row = summarise_by_dataset(RESULTS)[0]
    assert (row.entry, row.dataset, row.shots, row.draws) == (MethodOnBackbone("a", "andon-tiny"), "bolts", 2, 2)
    assert (row.auroc.mean, row.auroc.std) == pytest.approx((0.85, 0.05))
    assert row.aupro is None
    assert row.score_ms == 3.5


def test_the_deviation_of_the_mean_over_datasets_is_that_of_the_draws_means() -> None:
    first = summarise_over_datasets(RESULTS)[0]
    assert (first.auroc.mean, first.auroc.std) == pytest.approx((0.725, 0.025))
    assert first.aupro is not None
    assert (first.aupro.mean, first.aupro.std) == pytest.approx((0.5, 0.1))


def test_a_method_that_lacks_a_dataset_has_no_mean() -> None:
    lacking = {key: metrics for key, metrics in RESULTS.items() if (key.method, key.dataset) != ("b", "nuts")}
    assert [row.entry.method for row in summarise_over_datasets(lacking)] == ["a"]


def test_the_choice_for_a_dataset_does_not_depend_on_it() -> None:
    a, b, c = (MethodOnBackbone(name, "andon-tiny") for name in "abc")
    auroc = {
        a: {"bolts": 0.90, "nuts": 0.50, "pins": 0.70},
        b: {"bolts": 0.60, "nuts": 0.80, "pins": 0.75},
        c: {"bolts": 1.00},  # lacks two datasets and cannot be chosen
    }
    choices = {choice.held_out: choice for choice in choose_leaving_one_out(auroc)}
    # Without bolts: a has (50 + 70) / 2, b (80 + 75) / 2. Without nuts: a 80, b 67.5. Without pins: both 70, a by name.
    assert [(name, choices[name].entry) for name in ("bolts", "nuts", "pins")] == [
        ("bolts", b),
        ("nuts", a),
        ("pins", a),
    ]
    assert [choices[name].held_out_auroc for name in ("bolts", "nuts", "pins")] == [0.60, 0.50, 0.70]
    assert choices["bolts"].others_auroc == pytest.approx(0.775)
    changed = {**auroc, a: {**auroc[a], "bolts": 0.0}}
    assert choose_leaving_one_out(changed)[0].entry == choices["bolts"].entry


def test_a_choice_needs_two_datasets() -> None:
    with pytest.raises(EvaluationError):
        choose_leaving_one_out({MethodOnBackbone("a", "andon-tiny"): {"bolts": 0.9}})


def test_the_choice_can_be_made_later_from_the_json(tmp_path: Path) -> None:
    write_json_report(tmp_path / "out.json", RESULTS, {})
    assert read_auroc(tmp_path / "out.json") == auroc_by_dataset(summarise_by_dataset(RESULTS))


def test_tables_have_the_best_method_first_and_list_what_could_not_be_evaluated() -> None:
    tables = {table.title: table for table in build_tables(RESULTS, {"winclip": "There are no weights."})}
    means = tables["Mean of bolts, nuts"]
    assert [row[0] for row in means.rows] == ["b", "a"]
    assert means.rows[1][2] == f"{100 * fmean([0.7, 0.75]):.1f} ± 2.5"
    assert "AUPRO 2" in tables["nuts"].columns
    assert "AUPRO 2" not in tables["bolts"].columns
    assert tables["Chosen without the dataset it is tested on: andon-tiny"].rows[-1][-1] == "**65.0**"
    assert tables["Not evaluated here"].rows == (("winclip", "There are no weights."),)


def test_tables_replace_only_what_is_between_their_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- accuracy -->\nformer\n<!-- end of accuracy -->\nbelow\n")
    markdown = render_markdown(build_tables(RESULTS, {}))
    replace_between_markers(page, "accuracy", markdown)
    written = page.read_text()
    assert written.startswith("above\n<!-- accuracy -->\n\n### Mean of bolts, nuts\n\n| method |")
    assert written.endswith("\n<!-- end of accuracy -->\nbelow\n")
    assert "former" not in written
    replace_between_markers(page, "accuracy", markdown)
    assert page.read_text() == written
    with pytest.raises(EvaluationError):
        replace_between_markers(page, "another", "text")
