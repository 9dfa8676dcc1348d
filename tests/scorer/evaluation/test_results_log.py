from dataclasses import replace

import pytest

from scorer.evaluation.errors import EvaluationError
from scorer.evaluation.results_log import EvaluationMetrics, ResultKey, ResultsLog

KEY = ResultKey("patchcore", "andon-tiny", "m1", "letterbox", "elpv", "c1", 200, 4, 0)
FIGURES = EvaluationMetrics(0.9, 0.8, None, None, 0.01, 0.5, 0.2, 20.0, 3.5, 40.0, 200, 200)


def test_what_is_added_is_there_when_the_file_is_opened_again(tmp_path):
    path = tmp_path / "deep" / "cells.jsonl"
    ResultsLog(path).add(KEY, FIGURES)
    ResultsLog(path).add(replace(KEY, seed=1), replace(FIGURES, aupro=0.7))
    again = ResultsLog(path)
    assert again[KEY] == FIGURES
    assert again[replace(KEY, seed=1)].aupro == 0.7
    assert replace(KEY, seed=2) not in again
    assert replace(KEY, model_id="m2") not in again


def test_two_writers_share_a_file(tmp_path):
    first, second = ResultsLog(tmp_path / "cells.jsonl"), ResultsLog(tmp_path / "cells.jsonl")
    first.add(KEY, FIGURES)
    second.add(replace(KEY, seed=1), FIGURES)
    assert all(replace(KEY, seed=seed) in ResultsLog(tmp_path / "cells.jsonl") for seed in (0, 1))


def test_a_line_that_was_cut_short_is_dropped_and_the_file_goes_on_after_it(tmp_path):
    path = tmp_path / "cells.jsonl"
    journal = ResultsLog(path)
    for seed in range(3):
        journal.add(replace(KEY, seed=seed), FIGURES)
    path.write_bytes(path.read_bytes()[:-20])
    resumed = ResultsLog(path)
    assert replace(KEY, seed=2) not in resumed
    resumed.add(replace(KEY, seed=2), FIGURES)
    assert all(replace(KEY, seed=seed) in ResultsLog(path) for seed in range(3))


@pytest.mark.parametrize("line", ["no JSON", '{"method": "patchcore"}', "[]"])
def test_a_line_that_is_no_cell_is_named(tmp_path, line):
    path = tmp_path / "cells.jsonl"
    ResultsLog(path).add(KEY, FIGURES)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(EvaluationError, match=r"Line 2 of .*cells\.jsonl"):
        ResultsLog(path)
