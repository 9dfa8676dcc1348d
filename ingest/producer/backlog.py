"""The backlog: the spool as the producer uses it, with the messages that are lost from it counted."""

from collections.abc import Container, Sequence

import structlog

from ingest import metrics
from ingest.producer.in_flight import PendingMessage
from ingest.producer.spool import Spool

log = structlog.get_logger()


class Backlog:
    """Frames on disk that are not on the bus yet; they may be released in any order. Used from one thread."""

    def __init__(self, spool: Spool) -> None:
        """Start with the frames that an earlier process has left in the spool."""
        self._spool = spool
        self._released_early: set[int] = set()  # on the bus before older ones of other stations
        self._set_gauges()

    @property
    def frames(self) -> int:
        """Return the number of frames in the spool."""
        return self._spool.frames

    @property
    def has_unread(self) -> bool:
        """Return whether `read` has more frames to return."""
        return self._spool.has_unread

    def append(self, pending: Sequence[PendingMessage]) -> int:
        """Append frames, as many as fit; return how many are on the disk now. Raises `SpoolFull` when none fits."""
        written = self._spool.append([each.message for each in pending])
        self._set_gauges()
        return written

    def read(self, max_bytes: int) -> list[PendingMessage]:
        """Return the next unread frames, up to `max_bytes`, but at least one if any exists.

        A frame that the disk has damaged is counted as lost and skipped.
        """
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
        """Remove a frame; its disk space is freed once every older frame is released too."""
        head = self._spool.head
        if number < head:
            return
        self._released_early.add(number)
        while head in self._released_early:
            self._released_early.remove(head)
            head += 1
        self._spool.release(head)
        self._set_gauges()

    def drop_oldest(self, in_flight: Container[int]) -> bool:
        """Drop the oldest frames to free disk space; return whether that freed any.

        Frames that are on the bus already are not lost, nor those whose numbers are `in_flight`: the producer still
        has them in memory.
        """
        dropped = self._spool.drop_oldest()
        safe = {number for number in dropped if number in self._released_early or number in in_flight}
        lost = [key for number, key in dropped.items() if number not in safe]
        self._released_early = {number for number in self._released_early if number >= self._spool.head}
        if lost:
            log.error("the spool is full; its oldest frames are dropped", frames=len(lost), stations=sorted(set(lost)))
            metrics.count_dropped(lost, "spool-full")
        self._set_gauges()
        return bool(dropped)

    def holds(self, number: int) -> bool:
        """Return whether a frame that was read would be read again after `rewind`."""
        return number >= self._spool.head

    def close(self) -> None:
        """Close the spool; its frames stay on the disk."""
        self._spool.close()

    def _set_gauges(self) -> None:
        metrics.SPOOL_BYTES.set(self._spool.size_bytes)
        metrics.SPOOL_FRAMES.set(self._spool.frames)
