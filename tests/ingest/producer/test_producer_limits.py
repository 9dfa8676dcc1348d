"""The limits of the producer: memory, the spool, and the frames that are dropped and counted."""

import threading

import pytest

from ingest.frame import Frame
from ingest.producer import producer as producer_module
from testing.waiting import wait_until
from tests.ingest.producer.producer_harness import (
    AT,
    OpenHarness,
    dropped_frames,
    part_ids,
    published_frames,
)


def test_a_frame_too_large_for_any_bus_is_dropped_and_counted(open_harness: OpenHarness) -> None:
    harness = open_harness()
    harness.gate.max_message_bytes = 1000
    harness.producer.send(Frame("odd", AT, b"i", "image/png", part_id="\U0001f600" * 255), harness.durable.append)
    harness.send("odd-1")
    harness.producer.flush(10)
    assert harness.durable_part_ids() == harness.published_part_ids("odd") == ["odd-1"]
    assert dropped_frames("odd", "too-large") == 1


def test_send_blocks_when_the_memory_limit_is_reached(open_harness: OpenHarness) -> None:
    harness = open_harness(max_memory_bytes=1_000_000)
    harness.gate.holding = True
    sent: list[int] = []

    def send_four() -> None:
        for number in range(4):
            harness.send(f"s1-{number}", size_bytes=400_000)
            sent.append(number)

    sender = threading.Thread(target=send_four)
    sender.start()
    wait_until(lambda: harness.producer._buffer.senders_waiting == 1)
    assert sent == [0, 1]
    harness.gate.fail_held()
    sender.join(10)
    assert sent == [0, 1, 2, 3]


def test_a_full_spool_that_blocks_loses_nothing(open_harness: OpenHarness) -> None:
    harness = open_harness(max_memory_bytes=1_000_000, max_spool_bytes=1_000_000, when_spool_full="wait")
    harness.gate.failing = True

    def send_all() -> None:
        for number in range(15):
            harness.send(f"wait-{number}", size_bytes=200_000)

    sender = threading.Thread(target=send_all)
    sender.start()
    wait_until(lambda: harness.producer._buffer.senders_waiting == 1)
    wait_until(lambda: any("at its limit of 1000000 bytes" in reason for reason in harness.producer.health()))
    harness.gate.failing = False
    sender.join(10)
    harness.producer.flush(10)
    wait_until(lambda: harness.spool.frames == 0)
    assert harness.published_part_ids("wait") == part_ids("wait", *range(15))
    assert dropped_frames("wait", "spool-full") == 0
    assert harness.producer.health() == []


def test_a_full_spool_that_drops_counts_every_frame_it_drops(open_harness: OpenHarness) -> None:
    harness = open_harness(max_spool_bytes=2_000_000, when_spool_full="drop_oldest")
    harness.gate.failing = True
    for number in range(40):
        harness.send(f"drop-{number}", size_bytes=100_000)
    wait_until(lambda: len(harness.durable) == 40)
    harness.gate.failing = False
    harness.producer.flush(10)
    wait_until(lambda: harness.spool.frames == 0)
    received = harness.published_part_ids("drop")
    assert received == part_ids("drop", *range(40))[-len(received) :]
    assert 10 <= len(received) < 20
    assert dropped_frames("drop", "spool-full") == 40 - len(received)


@pytest.mark.parametrize("delivered", [True, False])
def test_an_in_flight_frame_dropped_from_the_spool_is_counted_by_its_delivery(
    open_harness: OpenHarness, delivered: bool
) -> None:
    harness = open_harness(max_spool_bytes=2_000_000, when_spool_full="drop_oldest")
    before = dropped_frames("way", "spool-full")
    harness.gate.failing = True
    harness.send(*part_ids("way", *range(16)), size_bytes=100_000)
    wait_until(lambda: harness.spool.frames == 16)
    harness.gate.holding, harness.gate.failing = True, False
    wait_until(lambda: harness.gate.held)  # the first, from the spool
    harness.send(*part_ids("way", *range(16, 32)), size_bytes=100_000)
    wait_until(lambda: len(harness.durable) == 32)
    if delivered:
        harness.gate.deliver_held()
    else:
        harness.gate.fail_held()
        harness.gate.failing = False
    harness.producer.flush(10)
    wait_until(lambda: harness.spool.frames == 0)
    received = harness.published_part_ids("way")
    assert ("way-0" in received) is delivered
    assert received == [part_id for part_id in part_ids("way", *range(32)) if part_id in received]
    assert len(received) + dropped_frames("way", "spool-full") - before == 32


def test_delivered_frames_dropped_from_the_spool_are_not_counted(
    open_harness: OpenHarness,
) -> None:
    harness = open_harness(max_spool_bytes=2_000_000, when_spool_full="drop_oldest")
    harness.gate.failing = True
    harness.send(*(f"{station}-{number}" for number in range(8) for station in ("late", "quick")), size_bytes=100_000)
    wait_until(lambda: harness.spool.frames == 16)
    harness.gate.held_station, harness.gate.failing = "late", False
    wait_until(lambda: harness.gate.held)
    harness.gate.deliver_held()  # the bus is available again, and this station's next frame hangs
    wait_until(lambda: harness.gate.held and published_frames("quick") == 8)
    harness.gate.held_station = ""
    harness.gate.fail_held()
    harness.send(*part_ids("late", *range(8, 24)), size_bytes=100_000)
    wait_until(lambda: len(harness.durable) == 32)
    harness.gate.failing = False
    harness.producer.flush(10)
    wait_until(lambda: harness.spool.frames == 0)
    assert len(harness.published_part_ids("quick")) == 8
    assert dropped_frames("quick", "spool-full") == 0
    assert len(harness.published_part_ids("late")) + dropped_frames("late", "spool-full") == 24


def test_frames_lost_at_close_are_counted(open_harness: OpenHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer_module, "_CLOSE_TIMEOUT_S", 0.1)
    harness = open_harness(max_spool_bytes=0)
    harness.gate.failing = True
    harness.send(*part_ids("end", 0, 1, 2))
    harness.producer.close()
    assert harness.durable == []
    assert dropped_frames("end", "closed") == 3
