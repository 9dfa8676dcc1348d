"""A bus that remembers when a worker read its first frame and when it committed its last one."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ingest.bus.protocol import Bus, Consumer, Record


class TimedBus:
    """The bus of a worker, with a watch; one consumer at a time."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._began_s: float | None = None
        self._ended_s = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    @property
    def took_s(self) -> float:
        """From the first poll that gave a frame to the last commit."""
        if self._began_s is None:
            raise RuntimeError("no frame was read")
        return self._ended_s - self._began_s

    def consumer(self, topic: str, group: str) -> "TimedConsumer":
        return TimedConsumer(self._bus.consumer(topic, group), self)

    def has_read(self) -> None:
        if self._began_s is None:
            self._began_s = time.perf_counter()

    def has_committed(self) -> None:
        self._ended_s = time.perf_counter()


class TimedConsumer:
    """The bus's own consumer, which tells the watch."""

    def __init__(self, consumer: Consumer, watch: TimedBus) -> None:
        self._consumer = consumer
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    def poll(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        records = self._consumer.poll(max_records, timeout_s)
        if records:
            self._watch.has_read()
        return records

    def commit(self, positions: Mapping[tuple[str, int], int]) -> None:
        self._consumer.commit(positions)
        self._watch.has_committed()
