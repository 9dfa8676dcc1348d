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


def cell(method: str, dataset: str, shots: int, seed: int, auroc: float, aupro: float | None = None):
    key = ResultKey(method, "andon-tiny", "m", "letterbox", dataset, "c", None, shots, seed)
    return key, EvaluationMetrics(auroc, 0.5, aupro, aupro, 0.01, 0.5, 0.2, 20.0, 3.0 + seed, 40.0, 10, 10)


CELLS = dict(
    [
        cell("a", "bolts", 2, 0, 0.80),
        cell("a", "bolts", 2, 1, 0.90),
        cell("a", "nuts", 2, 0, 0.60, aupro=0.4),
        cell("a", "nuts", 2, 1, 0.60, aupro=0.6),
        cell("b", "bolts", 2, 0, 0.70),
        cell("b", "bolts", 2, 1, 0.70),
        cell("b", "nuts", 2, 0, 0.90, aupro=0.8),
        cell("b", "nuts", 2, 1, 0.90, aupro=0.8),
    ]
)


def test_a_line_has_mean_and_deviation_over_the_draws():
    line = summarise_by_dataset(CELLS)[0]
    assert (line.entry, line.dataset, line.shots, line.draws) == (MethodOnBackbone("a", "andon-tiny"), "bolts", 2, 2)
    assert (line.auroc.mean, line.auroc.deviation) == pytest.approx((0.85, 0.05))
    assert line.aupro is None
    assert line.score_ms == 3.5


def test_the_mean_over_datasets_deviates_as_the_draws_means_do():
    first = summarise_over_datasets(CELLS)[0]
    assert (first.auroc.mean, first.auroc.deviation) == pytest.approx((0.725, 0.025))
    assert first.aupro is not None
    assert (first.aupro.mean, first.aupro.deviation) == pytest.approx((0.5, 0.1))


def test_an_entry_that_lacks_a_dataset_has_no_mean():
    lacking = {key: figures for key, figures in CELLS.items() if (key.method, key.dataset) != ("b", "nuts")}
    assert [line.entry.method for line in summarise_over_datasets(lacking)] == ["a"]


def test_the_choice_for_a_dataset_never_looks_at_it():
    a, b, c = (MethodOnBackbone(name, "andon-tiny") for name in "abc")
    auroc = {
        a: {"bolts": 0.90, "nuts": 0.50, "pins": 0.70},
        b: {"bolts": 0.60, "nuts": 0.80, "pins": 0.75},
        c: {"bolts": 1.00},  # not measured everywhere: no candidate
    }
    choices = {choice.held_out: choice for choice in choose_leaving_one_out(auroc)}
    # Without bolts: a has (50 + 70) / 2, b (80 + 75) / 2. Without nuts: a 80, b 67.5. Without pins: both 70, a by name.
    assert [(name, choices[name].entry) for name in ("bolts", "nuts", "pins")] == [
        ("bolts", b),
        ("nuts", a),
        ("pins", a),
    ]
    assert [choices[name].here for name in ("bolts", "nuts", "pins")] == [0.60, 0.50, 0.70]
    assert choices["bolts"].elsewhere == pytest.approx(0.775)
    changed = {**auroc, a: {**auroc[a], "bolts": 0.0}}
    assert choose_leaving_one_out(changed)[0].entry == choices["bolts"].entry


def test_a_choice_needs_two_datasets():
    with pytest.raises(EvaluationError, match="at least two"):
        choose_leaving_one_out({MethodOnBackbone("a", "andon-tiny"): {"bolts": 0.9}})


def test_the_choice_can_be_made_later_from_the_json(tmp_path):
    write_json_report(tmp_path / "out.json", CELLS, {})
    assert read_auroc(tmp_path / "out.json") == auroc_by_dataset(summarise_by_dataset(CELLS))


def test_tables_put_the_best_first_and_say_what_could_not_be_measured():
    tables = {table.title: table for table in build_tables(CELLS, {"winclip": "There are no weights."})}
    means = tables["Mean of bolts, nuts"]
    assert [row[0] for row in means.rows] == ["b", "a"]
    assert means.rows[1][2] == f"{100 * fmean([0.7, 0.75]):.1f} ± 2.5"
    assert "AUPRO 2" in tables["nuts"].columns
    assert "AUPRO 2" not in tables["bolts"].columns
    assert tables["Chosen without the set it is tested on: andon-tiny"].rows[-1][-1] == "**65.0**"
    assert tables["Not measured here"].rows == (("winclip", "There are no weights."),)


def test_tables_stand_between_their_markers_and_nothing_else_of_a_page_changes(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- accuracy -->\nformer\n<!-- end of accuracy -->\nbelow\n")
    replace_between_markers(page, "accuracy", render_markdown(build_tables(CELLS, {})))
    written = page.read_text()
    assert written.startswith("above\n<!-- accuracy -->\n\n### Mean of bolts, nuts\n\n| method |")
    assert written.endswith("\n<!-- end of accuracy -->\nbelow\n")
    assert "former" not in written
    replace_between_markers(page, "accuracy", render_markdown(build_tables(CELLS, {})))
    assert page.read_text() == written
    with pytest.raises(EvaluationError, match="has no place"):
        replace_between_markers(page, "another", "text")
