"""Results survive interruption, concurrent writers and torn lines."""

from dataclasses import replace
from pathlib import Path

import pytest

from scorer.evaluation.errors import EvaluationError
from scorer.evaluation.results_log import EvaluationMetrics, ResultKey, ResultsLog

KEY = ResultKey("patchcore", "andon-tiny", "m1", "letterbox", "elpv", "c1", 200, 4, 0)
METRICS = EvaluationMetrics(0.9, 0.8, None, None, 0.01, 0.5, 0.2, 20.0, 3.5, 40.0, 200, 200)


def test_added_results_are_read_when_the_file_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "results.jsonl"
    ResultsLog(path).add(KEY, METRICS)
    ResultsLog(path).add(replace(KEY, seed=1), replace(METRICS, aupro=0.7))
    reopened = ResultsLog(path)
    assert reopened[KEY] == METRICS
    assert reopened[replace(KEY, seed=1)].aupro == 0.7
    assert replace(KEY, seed=2) not in reopened
    assert replace(KEY, model_id="m2") not in reopened


def test_two_writers_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    first, second = ResultsLog(path), ResultsLog(path)
    first.add(KEY, METRICS)
    second.add(replace(KEY, seed=1), METRICS)
    assert all(replace(KEY, seed=seed) in ResultsLog(path) for seed in (0, 1))


def test_an_incomplete_last_line_is_dropped_and_the_file_continues_after_it(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    log = ResultsLog(path)
    for seed in range(3):
        log.add(replace(KEY, seed=seed), METRICS)
    path.write_bytes(path.read_bytes()[:-20])
    resumed = ResultsLog(path)
    assert replace(KEY, seed=2) not in resumed
    resumed.add(replace(KEY, seed=2), METRICS)
    assert all(replace(KEY, seed=seed) in ResultsLog(path) for seed in range(3))


@pytest.mark.parametrize("line", ["no JSON", '{"method": "patchcore"}', "[]"])
def test_an_invalid_line_is_named_by_number_and_file(tmp_path: Path, line: str) -> None:
    path = tmp_path / "results.jsonl"
    ResultsLog(path).add(KEY, METRICS)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(EvaluationError, match=r"2.*results\.jsonl"):
        ResultsLog(path)
