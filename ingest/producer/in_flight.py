"""Lanes: what a producer has handed out for publishing, one lane a station, one message under way in each.

A station's next message goes only once its last is acknowledged: then nothing can overtake, whatever fails.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ingest.bus.protocol import Message
from ingest.frame import Frame


@dataclass(frozen=True, slots=True, eq=False)
class PendingMessage:
    """A message not on the bus yet: in memory with the frame it was made of, or read from the spool by its number."""

    message: Message
    size_bytes: int
    frame: Frame | None = None
    durable: Callable[[Frame], None] | None = None
    spool_number: int | None = None


class InFlight:
    """Used from one thread."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[PendingMessage]] = {}
        self._under_way: dict[str, PendingMessage] = {}
        self._bytes_from_spool = 0

    @property
    def empty(self) -> bool:
        return not self._under_way and not self._queues

    @property
    def bytes_from_spool(self) -> int:
        return self._bytes_from_spool

    @property
    def spooled_under_way(self) -> set[int]:
        """The spool's numbers of what is under way from there."""
        numbers = (waiting.spool_number for waiting in self._under_way.values())
        return {number for number in numbers if number is not None}

    def add(self, waiting: PendingMessage) -> None:
        self._queues.setdefault(waiting.message.key, deque()).append(waiting)
        if waiting.spool_number is not None:
            self._bytes_from_spool += waiting.size_bytes

    def add_in_front(self, waiting: PendingMessage) -> None:
        """Put a message back that was the head of its lane."""
        self.add(waiting)
        self._queues[waiting.message.key].rotate(1)

    def next_to_go(self) -> PendingMessage | None:
        """The head of some lane that has nothing under way; it counts as under way from now on."""
        for station, queue in self._queues.items():
            if station not in self._under_way:
                waiting = self._under_way[station] = queue.popleft()
                if not queue:
                    del self._queues[station]
                return waiting
        return None

    def arrived(self, waiting: PendingMessage) -> bool:
        """Take note of an outcome; False when it is of a message that has been taken back meanwhile."""
        if self._under_way.get(waiting.message.key) is not waiting:
            return False
        del self._under_way[waiting.message.key]
        if waiting.spool_number is not None:
            self._bytes_from_spool -= waiting.size_bytes
        return True

    def forget(self, gone: Callable[[int], bool]) -> None:
        """Leave out what came from the spool and is `gone` from there, unless it is under way."""
        for station, queue in list(self._queues.items()):
            kept = deque(each for each in queue if each.spool_number is None or not gone(each.spool_number))
            self._bytes_from_spool -= sum(each.size_bytes for each in queue) - sum(each.size_bytes for each in kept)
            if kept:
                self._queues[station] = kept
            else:
                del self._queues[station]

    def take_back(self, stays: Callable[[PendingMessage], bool]) -> list[PendingMessage]:
        """Empty the lanes but for what is under way and `stays`; return the rest, a station's in order."""
        staying = {station: each for station, each in self._under_way.items() if stays(each)}
        taken = {station: each for station, each in self._under_way.items() if station not in staying}
        stations = dict.fromkeys([*taken, *self._queues])
        back = [
            waiting
            for station in stations
            for waiting in (*filter(None, [taken.get(station)]), *self._queues.get(station, ()))
        ]
        self._queues, self._under_way = {}, staying
        self._bytes_from_spool = sum(each.size_bytes for each in staying.values())
        return back
