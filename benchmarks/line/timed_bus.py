"""A bus that times a worker, from its first frame read to its last commit."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ingest.bus.protocol import Bus, Consumer, LogEntry


class TimedBus:
    """A bus for one consumer at a time, with a stopwatch."""

    def __init__(self, bus: Bus) -> None:
        """Time the consumers of `bus`."""
        self._bus = bus
        self._started_s: float | None = None
        self._ended_s = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    @property
    def took_s(self) -> float:
        """Seconds from the first poll that returned a frame to the last commit; RuntimeError without one."""
        if self._started_s is None:
            raise RuntimeError("No frame was read.")
        return self._ended_s - self._started_s

    def consumer(self, topic: str, group: str) -> "TimedConsumer":
        """Return a consumer of the bus that is timed."""
        return TimedConsumer(self._bus.consumer(topic, group), self)

    def on_read(self) -> None:
        """Start the stopwatch, if it has not started."""
        if self._started_s is None:
            self._started_s = time.perf_counter()

    def on_commit(self) -> None:
        """Take the time of the last commit so far."""
        self._ended_s = time.perf_counter()


class TimedConsumer:
    """The bus's own consumer, which reports reads and commits."""

    def __init__(self, consumer: Consumer, timed_bus: TimedBus) -> None:
        """Report to `timed_bus`."""
        self._consumer = consumer
        self._timed_bus = timed_bus

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    def poll(self, max_records: int, timeout_s: float) -> Sequence[LogEntry]:
        """As `Consumer`."""
        records = self._consumer.poll(max_records, timeout_s)
        if records:
            self._timed_bus.on_read()
        return records

    def commit(self, positions: Mapping[tuple[str, int], int]) -> None:
        """As `Consumer`."""
        self._consumer.commit(positions)
        self._timed_bus.on_commit()
