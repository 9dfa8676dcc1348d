"""Attempts to read a record: when a reader has tried often enough, and passes it as unreadable."""

import time
from collections.abc import Callable

MAX_ATTEMPTS = 3
OUTAGE_PATIENCE_S = 30.0
"""How long a record must have failed where its error may as well be an outage of the bus."""


class ReadAttempts:
    """Counts the failures in a row at one offset per partition."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        """Start without failures; `monotonic_s` returns seconds of a clock that never jumps."""
        self._monotonic_s = monotonic_s
        self._failures: dict[object, tuple[int, int, float]] = {}  # offset, failures, time of the first

    def failed(self, partition: object, offset: int, patience_s: float = 0.0) -> bool:
        """Count a failure; return whether the record is to be passed.

        Args:
            partition: The record's partition.
            offset: The record's offset in it.
            patience_s: Seconds that must have passed since the first failure, beside `MAX_ATTEMPTS` failures.
        """
        now_s = self._monotonic_s()
        at, failures, first_s = self._failures.get(partition, (offset, 0, now_s))
        if at != offset:
            failures, first_s = 0, now_s
        self._failures[partition] = (offset, failures + 1, first_s)
        return failures + 1 >= MAX_ATTEMPTS and now_s - first_s >= patience_s

    def succeeded(self, partition: object) -> None:
        """Forget the failures in a partition, which was read."""
        self._failures.pop(partition, None)
