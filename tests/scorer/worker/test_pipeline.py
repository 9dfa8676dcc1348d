"""Batches in the pipeline: stages overlap, order holds, and no batch overtakes a failed one."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

from scorer.worker.pipeline import BatchAbandoned, Stage, StagePipeline

PATIENCE_S = 30.0


def pipeline_of(*stages: Stage, max_in_flight: int) -> StagePipeline[int, int]:
    return StagePipeline(stages, max_in_flight)


def result_of(pipeline: StagePipeline[int, int]) -> Future[int]:
    pipeline.wait(PATIENCE_S)
    finished = pipeline.take()
    assert finished is not None
    return finished[1]


@pytest.fixture
def meeting() -> threading.Barrier:
    return threading.Barrier(2)


def test_two_batches_are_in_two_stages_at_once(meeting: threading.Barrier) -> None:
    def meet(batch: int) -> int:
        meeting.wait(PATIENCE_S)  # passes only when both stages are inside at the same time
        return batch

    def pass_on(batch: int) -> int:
        return batch

    first: Iterator[Callable[[int], int]] = iter([pass_on, meet])
    second: Iterator[Callable[[int], int]] = iter([meet, pass_on])
    pipeline = pipeline_of(
        Stage("a", lambda batch: next(first)(batch)), Stage("b", lambda batch: next(second)(batch)), max_in_flight=2
    )
    pipeline.enter(1, 1)
    pipeline.enter(2, 1)
    assert pipeline.is_full
    assert [result_of(pipeline).result(), result_of(pipeline).result()] == [1, 2]
    assert pipeline.take() is None
    pipeline.close()


def test_a_stage_with_two_threads_keeps_the_order(meeting: threading.Barrier) -> None:
    second_scored = threading.Event()
    written: list[int] = []

    def score(batch: int) -> int:
        meeting.wait(PATIENCE_S)  # passes only when both are inside at the same time
        if batch == 1:
            second_scored.wait(PATIENCE_S)
        else:
            second_scored.set()
        return batch

    pipeline = pipeline_of(Stage("score", score, threads=2), Stage("write", written.append), max_in_flight=2)
    pipeline.enter(1, 1)
    pipeline.enter(2, 1)
    result_of(pipeline).result()
    result_of(pipeline).result()
    assert written == [1, 2]
    pipeline.close()


def test_batches_keep_their_order_and_their_number_in_flight_is_limited() -> None:
    pipeline = pipeline_of(
        Stage("double", lambda batch: 2 * batch), Stage("add", lambda batch: batch + 1), max_in_flight=3
    )
    pipeline.enter(1, 1)
    pipeline.enter(2, 1)
    assert not pipeline.is_full
    pipeline.enter(3, 1)
    assert pipeline.is_full
    assert [result_of(pipeline).result() for _ in range(3)] == [3, 5, 7]
    assert not pipeline.is_full
    pipeline.close()


def test_batches_after_a_failed_one_are_abandoned_and_those_before_are_finished() -> None:
    written: list[int] = []
    release = threading.Event()

    def score(batch: int) -> int:
        if batch == 2:
            raise ValueError("no luck")
        return batch

    def write(batch: int) -> int:
        release.wait(PATIENCE_S)  # the first batch is still in this stage when the second fails
        written.append(batch)
        return batch

    pipeline = pipeline_of(Stage("score", score), Stage("write", write), max_in_flight=4)
    for batch in (1, 2, 3):
        pipeline.enter(batch, 1)
    release.set()
    assert result_of(pipeline).result() == 1
    with pytest.raises(ValueError, match="no luck"):
        result_of(pipeline).result()
    with pytest.raises(BatchAbandoned):
        result_of(pipeline).result()
    assert written == [1]
    pipeline.abandon()
    pipeline.enter(4, 1)
    assert result_of(pipeline).result() == 4
    pipeline.close()


def test_nothing_is_written_after_abandoning() -> None:
    written: list[int] = []
    entered, release = threading.Event(), threading.Event()

    def score(batch: int) -> int:
        entered.set()
        release.wait(PATIENCE_S)
        return batch

    pipeline = pipeline_of(Stage("score", score), Stage("write", written.append), max_in_flight=2)
    pipeline.enter(1, 1)
    pipeline.enter(2, 1)
    assert entered.wait(PATIENCE_S)
    abandoning = threading.Thread(target=pipeline.abandon)
    abandoning.start()
    release.set()
    abandoning.join(PATIENCE_S)
    assert pipeline.in_flight == []
    assert written == []
    pipeline.close()
