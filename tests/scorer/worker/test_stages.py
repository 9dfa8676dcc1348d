"""Batches on their way: stages overlap, order holds, and nothing overtakes a failure."""

import threading
from concurrent.futures import Future

import pytest

from scorer.worker.stages import BatchAbandoned, Stage, StagePipeline

PATIENCE_S = 30.0


def taken(flow: StagePipeline) -> Future:
    flow.wait(PATIENCE_S)
    done = flow.take()
    assert done is not None
    return done


@pytest.fixture
def meeting() -> threading.Barrier:
    return threading.Barrier(2)


def test_two_batches_are_in_two_stages_at_once(meeting):
    def meet(batch: int) -> int:
        meeting.wait(PATIENCE_S)  # passes only when both stages are inside at the same time
        return batch

    first = iter([lambda batch: batch, meet])
    second = iter([meet, lambda batch: batch])
    flow = StagePipeline(
        [Stage("a", lambda batch: next(first)(batch)), Stage("b", lambda batch: next(second)(batch))], most=2
    )
    flow.enter(1, 1)
    flow.enter(2, 1)
    assert not flow.has_room
    assert [taken(flow).result(), taken(flow).result()] == [1, 2]
    assert flow.take() is None
    flow.close()


def test_a_stage_may_hold_two_batches_at_once_and_they_still_come_out_in_order(meeting):
    second_is_through = threading.Event()
    written: list[int] = []

    def score(batch: int) -> int:
        meeting.wait(PATIENCE_S)  # passes only when both are inside at the same time
        if batch == 1:
            second_is_through.wait(PATIENCE_S)
        else:
            second_is_through.set()
        return batch

    flow = StagePipeline([Stage("score", score, at_once=2), Stage("write", written.append)], most=2)
    flow.enter(1, 1)
    flow.enter(2, 1)
    taken(flow).result()
    taken(flow).result()
    assert written == [1, 2]
    flow.close()


def test_batches_come_out_as_they_went_in_and_there_is_room_for_so_many():
    flow = StagePipeline([Stage("double", lambda batch: 2 * batch), Stage("add", lambda batch: batch + 1)], most=3)
    flow.enter(1, 1)
    flow.enter(2, 1)
    assert flow.has_room
    flow.enter(3, 1)
    assert not flow.has_room
    assert [taken(flow).result() for _ in range(3)] == [3, 5, 7]
    assert flow.has_room
    flow.close()


def test_what_entered_after_a_failure_ends_unfinished_and_what_was_before_is_done():
    written: list[int] = []
    held = threading.Event()

    def score(batch: int) -> int:
        if batch == 2:
            raise ValueError("no luck")
        return batch

    def write(batch: int) -> int:
        held.wait(PATIENCE_S)  # the first batch is still here when the second fails
        written.append(batch)
        return batch

    flow = StagePipeline([Stage("score", score), Stage("write", write)], most=4)
    for batch in (1, 2, 3):
        flow.enter(batch, 1)
    held.set()
    assert taken(flow).result() == 1
    with pytest.raises(ValueError, match="no luck"):
        taken(flow).result()
    with pytest.raises(BatchAbandoned):
        taken(flow).result()
    assert written == [1]
    flow.give_up()
    flow.enter(4, 1)
    assert taken(flow).result() == 4
    flow.close()


def test_giving_up_lets_nothing_more_be_written():
    written: list[int] = []
    inside, held = threading.Event(), threading.Event()

    def score(batch: int) -> int:
        inside.set()
        held.wait(PATIENCE_S)
        return batch

    flow = StagePipeline([Stage("score", score), Stage("write", written.append)], most=2)
    flow.enter(1, 1)
    flow.enter(2, 1)
    assert inside.wait(PATIENCE_S)
    giving_up = threading.Thread(target=flow.give_up)
    giving_up.start()
    held.set()
    giving_up.join(PATIENCE_S)
    assert len(flow) == 0
    assert written == []
    flow.close()
