"""The backlog: the spool as the producer uses it, with what is lost from it counted."""

from collections.abc import Container, Sequence

import structlog

from ingest import metrics
from ingest.producer.in_flight import PendingMessage
from ingest.producer.spool import Spool

log = structlog.get_logger()


class Backlog:
    """Frames on disk that are not on the bus yet; they may be released in any order. Used from one thread."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._released_early: set[int] = set()  # on the bus before older ones of other stations
        self._show()

    @property
    def frames(self) -> int:
        return self._spool.frames

    @property
    def unread(self) -> bool:
        return self._spool.unread

    def append(self, waiting: Sequence[PendingMessage]) -> int:
        """Put frames at the end, as many as fit; return how many are on the disk now. Raises `SpoolFull`."""
        written = self._spool.append([each.message for each in waiting])
        self._show()
        return written

    def read(self, max_bytes: int) -> list[PendingMessage]:
        """The next frames not read yet, up to `max_bytes` and at least one if there is any."""
        found = []
        for spooled in self._spool.read(max_bytes):
            if spooled.message is None:
                metrics.count_dropped([""], "spool-damaged")
                self.release(spooled.number)
            elif spooled.number not in self._released_early:
                found.append(PendingMessage(spooled.message, spooled.message.size_bytes, spool_number=spooled.number))
        return found

    def rewind(self) -> None:
        """Read again from the oldest frame that is not released."""
        self._spool.rewind()

    def release(self, number: int) -> None:
        """Forget a frame, on the disk once every older one can be forgotten too."""
        after = self._spool.head
        if number < after:
            return
        self._released_early.add(number)
        while after in self._released_early:
            self._released_early.remove(after)
            after += 1
        self._spool.release(after)
        self._show()

    def drop_oldest(self, under_way: Container[int]) -> bool:
        """Give up the oldest frames to make room; whether that made any.

        Those that are on the bus already are not lost, nor those `under_way` to it: whoever sent them still has them.
        """
        gone = self._spool.drop_oldest()
        kept = {number for number in gone if number in self._released_early or number in under_way}
        lost = [key for number, key in gone.items() if number not in kept]
        self._released_early = {number for number in self._released_early if number >= self._spool.head}
        if lost:
            log.error("the spool is full; its oldest frames are dropped", frames=len(lost), stations=sorted(set(lost)))
            metrics.count_dropped(lost, "spool-full")
        self._show()
        return bool(gone)

    def holds(self, number: int) -> bool:
        """Whether a frame that was read would be read again after `rewind`."""
        return number >= self._spool.head

    def close(self) -> None:
        self._spool.close()

    def _show(self) -> None:
        metrics.SPOOL_BYTES.set(self._spool.size_bytes)
        metrics.SPOOL_FRAMES.set(self._spool.frames)
