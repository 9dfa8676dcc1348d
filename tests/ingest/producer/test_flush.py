"""The end of a capture: the producer waits while frames move, and what is left is in the spool."""

import threading

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from ingest.errors import BusUnavailable
from ingest.producer import producer as producer_module
from ingest.producer import progress_wait
from testing.waiting import wait_until
from tests.ingest.producer.producer_harness import OpenHarness, ProducerHarness, part_ids


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_wait, "INTERVAL_S", 0.01)


def repaired_texts(header: str) -> float:
    return REGISTRY.get_sample_value("andon_metadata_repaired_total", {"field": header}) or 0.0


class SlowBus:
    """Lets one hanging frame through each time that it is reported how many are left, after 20 s by its clock."""

    def __init__(self, harness: ProducerHarness, frames: int) -> None:
        self.harness = harness
        self.now_s = 0.0
        self.left: list[int] = []
        self.last_frames = frames

    def __call__(self, left: int) -> None:
        self.left.append(left)
        self.now_s += 20
        wait_until(lambda: self.harness.gate.held)
        (message, on_delivery) = self.harness.gate.held.pop()
        self.harness.gate._inner.publish(message, on_delivery)
        self.last_frames -= 1
        wait_until(lambda: self.harness.producer.frames_in_memory == self.last_frames)


def test_a_long_recording_is_waited_for_while_its_frames_move(open_harness: OpenHarness) -> None:
    harness = open_harness()
    harness.gate.holding = True
    harness.send(*part_ids("s1", *range(10)))
    bus = SlowBus(harness, 10)
    harness.producer._now_s = lambda: bus.now_s
    harness.producer.flush(30, progress=bus)
    assert bus.left == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert bus.now_s == 200
    assert harness.published_part_ids("s1") == part_ids("s1", *range(10))


def test_a_flush_ends_when_nothing_moves_and_the_rest_is_in_the_spool_after_closing(
    open_harness: OpenHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer_module, "_CLOSE_TIMEOUT_S", 0.1)
    harness = open_harness()
    harness.gate.holding = True
    harness.send(*part_ids("s1", *range(5)))
    with pytest.raises(BusUnavailable):
        harness.producer.flush(0.1)
    harness.producer.close()
    assert (harness.producer.frames_in_memory, harness.producer.spooled_frames) == (0, 5)
    assert harness.durable_part_ids() == part_ids("s1", *range(5))


def test_a_stop_ends_the_wait_even_while_frames_move(
    open_harness: OpenHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer_module, "_CLOSE_TIMEOUT_S", 0.1)
    harness = open_harness()
    harness.gate.holding = True
    harness.send(*part_ids("s1", *range(10)))
    bus = SlowBus(harness, 10)
    harness.producer._now_s = lambda: bus.now_s
    stop = threading.Event()
    stop.set()
    with pytest.raises(BusUnavailable):
        harness.producer.flush(30, stop, bus)
    assert bus.now_s == 40


def test_texts_that_are_too_long_are_shortened_counted_and_logged_once(open_harness: OpenHarness) -> None:
    harness = open_harness()
    before = repaired_texts("part-id")
    with capture_logs() as logs:
        harness.send("s1-" + "x" * 300, "s1-" + "y" * 300, "s1-1")
    harness.producer.flush(10)
    assert repaired_texts("part-id") - before == 2
    assert len([entry for entry in logs if entry.get("header") == "part-id"]) == 1
    first, second, third = harness.published_part_ids("s1")
    assert (len(first), len(second), third) == (255, 255, "s1-1")
    assert harness.durable_part_ids() == ["s1-" + "x" * 300, "s1-" + "y" * 300, "s1-1"]  # the source's own names
