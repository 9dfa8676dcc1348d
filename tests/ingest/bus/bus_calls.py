"""What tests do with any bus."""

import itertools
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial

from ingest.bus.protocol import (
    Bus,
    Consumer,
    LogEntry,
    Message,
    Record,
    RecordPosition,
    offset_after,
    readable,
)

STATIONS = ("s1", "s2", "s3", "s4", "s5", "s6")


PATIENCE_S = 40.0


OpenBus = Callable[[], Bus]


def publish(bus: Bus, topic: str, messages: Sequence[Message]) -> list[RecordPosition]:
    """Publish and wait; return the positions in the order of the messages."""
    positions: dict[int, RecordPosition] = {}

    def on_delivery(index: int, position: RecordPosition | None, error: Exception | None) -> None:
        positions[index] = require_position(position, error)

    with closing(bus.publisher(topic)) as publisher:
        for index, message in enumerate(messages):
            publisher.publish(message, partial(on_delivery, index))
        publisher.flush(30)
    return [positions[index] for index in range(len(messages))]


def require_position(position: RecordPosition | None, error: Exception | None) -> RecordPosition:
    assert position is not None, error
    return position


def numbered_messages(count: int) -> list[Message]:
    """Numbered messages of the stations in turn."""
    return [
        Message(station, str(number).encode(), (("n", str(number).encode()),))
        for number, station in zip(range(count), itertools.cycle(STATIONS), strict=False)
    ]


def read_until(consumer: Consumer, condition: Callable[[list[Record]], bool]) -> list[Record]:
    records: list[Record] = []
    for _ in range(int(PATIENCE_S / 0.2)):
        records += readable(consumer.poll(100, 0.2))
        if condition(records):
            return records
    raise AssertionError(f"only {len(records)} records in {PATIENCE_S} s")


def read(consumer: Consumer, count: int) -> list[Record]:
    records = read_until(consumer, lambda records: len(records) >= count)
    assert len(records) == count
    return records


def poll_until(consumer: Consumer, count: int) -> list[LogEntry]:
    """Poll until there are this many entries, readable or not."""
    entries: list[LogEntry] = []
    for _ in range(int(PATIENCE_S / 0.2)):
        entries += consumer.poll(100, 0.2)
        if len(entries) >= count:
            break
    assert len(entries) == count
    return entries


def commit(consumer: Consumer, entries: Sequence[LogEntry]) -> None:
    offsets: dict[tuple[str, int], int] = {}
    for entry in entries:
        topic_partition = (entry.position.topic, entry.position.partition)
        offsets[topic_partition] = max(offsets.get(topic_partition, 0), offset_after(entry))
    consumer.commit(offsets)


def poll_until_shared(one: Consumer, other: Consumer) -> None:
    """Poll two members side by side, as two workers do, until each has its half of the six partitions."""
    shared = threading.Event()

    def poll(consumer: Consumer) -> None:
        for _ in range(int(PATIENCE_S / 0.2)):
            if shared.is_set():
                break
            consumer.poll(100, 0.2)
            if len(one.assignment()) == len(other.assignment()) == 3:
                shared.set()

    threads = [threading.Thread(target=poll, args=(consumer,)) for consumer in (one, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shared.is_set(), f"shares after {PATIENCE_S} s: {one.assignment()} and {other.assignment()}"
