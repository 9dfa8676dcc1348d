from statistics import fmean

import pytest

from scorer.measuring.cells import Figures, Key
from scorer.measuring.errors import CannotMeasure
from scorer.measuring.results import read_auroc, write_results
from scorer.measuring.summary import Entry, auroc_by_dataset, chosen_elsewhere, lines_of, means_of
from scorer.measuring.tables import markdown, tables_of, write_between


def cell(method: str, dataset: str, shots: int, seed: int, auroc: float, aupro: float | None = None):
    key = Key(method, "andon-tiny", "m", "letterbox", dataset, "c", None, shots, seed)
    return key, Figures(auroc, 0.5, aupro, aupro, 0.01, 0.5, 0.2, 20.0, 3.0 + seed, 40.0, 10, 10)


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
    line = lines_of(CELLS)[0]
    assert (line.entry, line.dataset, line.shots, line.draws) == (Entry("a", "andon-tiny"), "bolts", 2, 2)
    assert (line.auroc.mean, line.auroc.deviation) == pytest.approx((0.85, 0.05))
    assert line.aupro is None
    assert line.judge_ms == 3.5


def test_the_mean_over_datasets_deviates_as_the_draws_means_do():
    first = means_of(CELLS)[0]
    assert (first.auroc.mean, first.auroc.deviation) == pytest.approx((0.725, 0.025))
    assert first.aupro is not None
    assert (first.aupro.mean, first.aupro.deviation) == pytest.approx((0.5, 0.1))


def test_an_entry_that_lacks_a_dataset_has_no_mean():
    lacking = {key: figures for key, figures in CELLS.items() if (key.method, key.dataset) != ("b", "nuts")}
    assert [line.entry.method for line in means_of(lacking)] == ["a"]


def test_the_choice_for_a_dataset_never_looks_at_it():
    a, b, c = (Entry(name, "andon-tiny") for name in "abc")
    auroc = {
        a: {"bolts": 0.90, "nuts": 0.50, "pins": 0.70},
        b: {"bolts": 0.60, "nuts": 0.80, "pins": 0.75},
        c: {"bolts": 1.00},  # not measured everywhere: no candidate
    }
    choices = {choice.held_out: choice for choice in chosen_elsewhere(auroc)}
    # Without bolts: a has (50 + 70) / 2, b (80 + 75) / 2. Without nuts: a 80, b 67.5. Without pins: both 70, a by name.
    assert [(name, choices[name].entry) for name in ("bolts", "nuts", "pins")] == [
        ("bolts", b),
        ("nuts", a),
        ("pins", a),
    ]
    assert [choices[name].here for name in ("bolts", "nuts", "pins")] == [0.60, 0.50, 0.70]
    assert choices["bolts"].elsewhere == pytest.approx(0.775)
    changed = {**auroc, a: {**auroc[a], "bolts": 0.0}}
    assert chosen_elsewhere(changed)[0].entry == choices["bolts"].entry


def test_a_choice_needs_two_datasets():
    with pytest.raises(CannotMeasure, match="at least two"):
        chosen_elsewhere({Entry("a", "andon-tiny"): {"bolts": 0.9}})


def test_the_choice_can_be_made_later_from_the_json(tmp_path):
    write_results(tmp_path / "out.json", CELLS, {})
    assert read_auroc(tmp_path / "out.json") == auroc_by_dataset(lines_of(CELLS))


def test_tables_put_the_best_first_and_say_what_could_not_be_measured():
    tables = {table.title: table for table in tables_of(CELLS, {"winclip": "There are no weights."})}
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
    write_between(page, "accuracy", markdown(tables_of(CELLS, {})))
    written = page.read_text()
    assert written.startswith("above\n<!-- accuracy -->\n\n### Mean of bolts, nuts\n\n| method |")
    assert written.endswith("\n<!-- end of accuracy -->\nbelow\n")
    assert "former" not in written
    write_between(page, "accuracy", markdown(tables_of(CELLS, {})))
    assert page.read_text() == written
    with pytest.raises(CannotMeasure, match="has no place"):
        write_between(page, "another", "text")
