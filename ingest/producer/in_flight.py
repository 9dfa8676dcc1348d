"""Messages that the producer passes to the bus: a queue per station, with one message of each in flight at a time.

A station's next message is published only after its last was acknowledged, so none can overtake another, whatever
fails.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ingest.bus.protocol import Message
from ingest.frame import Frame


@dataclass(frozen=True, slots=True, eq=False)
class PendingMessage:
    """A message that is not on the bus yet.

    One from memory has the frame that it was made of and `on_durable`, which is called with that frame; one from the
    spool has its number there.
    """

    message: Message
    size_bytes: int
    frame: Frame | None = None
    on_durable: Callable[[Frame], None] | None = None
    spool_number: int | None = None


class InFlight:
    """The messages in flight and the queues behind them; used from one thread."""

    def __init__(self) -> None:
        """Start with nothing in flight."""
        self._queues: dict[str, deque[PendingMessage]] = {}
        self._in_flight: dict[str, PendingMessage] = {}
        self._bytes_from_spool = 0

    @property
    def is_empty(self) -> bool:
        """Return whether no message is in flight and none waits."""
        return not self._in_flight and not self._queues

    @property
    def bytes_from_spool(self) -> int:
        """Return the bytes of messages that were read from the spool, in flight and waiting together."""
        return self._bytes_from_spool

    @property
    def spool_numbers(self) -> set[int]:
        """Return the spool numbers of the messages in flight."""
        numbers = (pending.spool_number for pending in self._in_flight.values())
        return {number for number in numbers if number is not None}

    def add(self, pending: PendingMessage) -> None:
        """Append a message to its station's queue."""
        self._queues.setdefault(pending.message.key, deque()).append(pending)
        if pending.spool_number is not None:
            self._bytes_from_spool += pending.size_bytes

    def add_first(self, pending: PendingMessage) -> None:
        """Put a message that was in flight back to the head of its station's queue."""
        self.add(pending)
        self._queues[pending.message.key].rotate(1)

    def start_next(self) -> PendingMessage | None:
        """Return the first message of a station that has none in flight, and count it as in flight from now on."""
        for station, queue in self._queues.items():
            if station not in self._in_flight:
                pending = self._in_flight[station] = queue.popleft()
                if not queue:
                    del self._queues[station]
                return pending
        return None

    def finish(self, pending: PendingMessage) -> bool:
        """End a message's flight; return False when it was withdrawn before its outcome came."""
        if self._in_flight.get(pending.message.key) is not pending:
            return False
        del self._in_flight[pending.message.key]
        if pending.spool_number is not None:
            self._bytes_from_spool -= pending.size_bytes
        return True

    def discard_spooled(self, is_dropped: Callable[[int], bool]) -> None:
        """Remove waiting messages that the spool has dropped; those in flight stay."""
        for station, queue in list(self._queues.items()):
            remaining = deque(each for each in queue if each.spool_number is None or not is_dropped(each.spool_number))
            self._bytes_from_spool -= sum(each.size_bytes for each in queue) - sum(
                each.size_bytes for each in remaining
            )
            if remaining:
                self._queues[station] = remaining
            else:
                del self._queues[station]

    def withdraw(self, exclude: Callable[[PendingMessage], bool]) -> list[PendingMessage]:
        """Remove and return every message, in order per station, except those in flight for which `exclude` is true."""
        excluded = {station: each for station, each in self._in_flight.items() if exclude(each)}
        included = {station: each for station, each in self._in_flight.items() if station not in excluded}
        stations = dict.fromkeys([*included, *self._queues])
        withdrawn = [
            pending
            for station in stations
            for pending in (*filter(None, [included.get(station)]), *self._queues.get(station, ()))
        ]
        self._queues, self._in_flight = {}, excluded
        self._bytes_from_spool = sum(each.size_bytes for each in excluded.values())
        return withdrawn
