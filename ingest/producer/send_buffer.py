"""The send buffer, which senders, the bus's acknowledgements and the producer's thread share, under one lock."""

import threading
from collections import deque
from collections.abc import Callable, Sequence

from ingest.errors import BusUnavailable
from ingest.producer.in_flight import PendingMessage


class SendBuffer:
    """Messages in memory, bounded by `max_bytes`, and the outcomes of messages in flight.

    A message counts against the bound from `put` until `release`, whatever its state in between. Senders call `put` and
    the bus calls `put_outcome`, from any thread; the methods that take something out are for the producer's thread.
    """

    def __init__(self, max_bytes: int) -> None:
        """Start empty and open."""
        self._max_bytes = max_bytes
        self._changed = threading.Condition()
        self._incoming: deque[PendingMessage] = deque()
        self._outcomes: deque[tuple[PendingMessage, Exception | None]] = deque()
        self._bytes = 0
        self._frames = 0
        self._senders_waiting = 0
        self._is_woken = True
        self._is_closed = False
        self._error: Exception | None = None

    @property
    def frames(self) -> int:
        """Return the number of messages that are neither durable nor dropped."""
        return self._frames

    @property
    def has_incoming(self) -> bool:
        """Return whether a message waits to be published or spooled."""
        return bool(self._incoming)

    @property
    def senders_waiting(self) -> int:
        """Return the number of threads that wait in `put`."""
        return self._senders_waiting

    @property
    def is_closed(self) -> bool:
        """Return whether `close` was called."""
        return self._is_closed

    @property
    def error(self) -> Exception | None:
        """Return the error that stopped the producer's thread, or None."""
        return self._error

    def put(self, pending: PendingMessage) -> None:
        """Append a message, and wait while there is no room for it.

        Raises:
            BusUnavailable: The producer is closed or has failed; the message was not taken.
        """
        with self._changed:
            if not self._has_room(pending.size_bytes):
                self._senders_waiting += 1
                self.wake()
                self._changed.wait_for(lambda: self._is_closed or self._error or self._has_room(pending.size_bytes))
                self._senders_waiting -= 1
            self.raise_if_failed()
            if self._is_closed:
                raise BusUnavailable("The producer is closed.")
            self._append(pending)
            self.wake()

    def put_outcome(self, pending: PendingMessage, error: Exception | None) -> None:
        """Append the outcome of a message in flight: None when it is on the bus."""
        with self._changed:
            self._outcomes.append((pending, error))
            self.wake()

    def raise_if_failed(self) -> None:
        """Raise `BusUnavailable` when the producer's thread has stopped by an error."""
        if self._error is not None:
            raise BusUnavailable(f"The producer has stopped: {self._error}") from self._error

    def wait_until(self, condition: Callable[[], bool], timeout_s: float) -> int:
        """Wait until `condition`, or for `timeout_s`; return `frames` at that moment."""
        with self._changed:
            self._changed.wait_for(condition, timeout_s)
            return self._frames

    def close(self) -> None:
        """Refuse further messages, and end the producer's thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def fail(self, error: Exception) -> None:
        """Record the error that has stopped the producer's thread; senders get it as `BusUnavailable`."""
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def wake(self) -> None:
        """Let the producer's thread look for work again."""
        with self._changed:
            self._is_woken = True
            self._changed.notify_all()

    def wait_for_work(self, timeout_s: float | None) -> bool:
        """Wait until woken, closed, or for `timeout_s`; return False once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_woken or self._is_closed, timeout_s)
            self._is_woken = False
            return not self._is_closed

    def pop_outcome(self) -> tuple[PendingMessage, Exception | None] | None:
        """Remove and return the oldest outcome, or None."""
        return self._outcomes.popleft() if self._outcomes else None

    def peek(self, limit: int) -> list[PendingMessage]:
        """Return up to `limit` of the oldest messages, which stay."""
        with self._changed:
            return [self._incoming[index] for index in range(min(limit, len(self._incoming)))]

    def pop(self) -> PendingMessage:
        """Remove and return the oldest message; its memory is still counted."""
        return self._incoming.popleft()

    def put_back(self, pending: Sequence[PendingMessage]) -> None:
        """Put messages that were popped back in front of the others, in their order."""
        with self._changed:
            self._incoming.extendleft(reversed(pending))

    def put_unbounded(self, pending: PendingMessage) -> None:
        """Append a message whether there is room or not."""
        with self._changed:
            self._append(pending)

    def release(self, pending: PendingMessage) -> None:
        """Free a message's memory, because it is durable or dropped."""
        with self._changed:
            self._bytes -= pending.size_bytes
            self._frames -= 1
            self._changed.notify_all()

    def notify(self) -> None:
        """Let `wait_until` check its condition again."""
        with self._changed:
            self._changed.notify_all()

    def _append(self, pending: PendingMessage) -> None:
        self._incoming.append(pending)
        self._bytes += pending.size_bytes
        self._frames += 1

    def _has_room(self, size_bytes: int) -> bool:
        return self._frames == 0 or self._bytes + size_bytes <= self._max_bytes
