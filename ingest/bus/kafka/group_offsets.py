"""The offsets of one member of a Kafka group: what it has committed, what it has yet to commit, and its lag."""

import time
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import structlog
from kafka import OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors

from ingest.bus.kafka.errors import translate_errors
from ingest.bus.protocol import LogEntry, offset_after
from ingest.errors import BusUnavailable

REQUEST_TIMEOUT_S = 5.0

log = structlog.get_logger()


class GroupOffsets:
    """Commits what its user commits and, in addition, two things that concern no record.

    - A partition of which the group has no offset yet gets that of its oldest record, or else what is deleted before
      the first commit would not be missed.
    - Entries that are no records for a consumer, which end transactions or belong to aborted ones, are committed once
      all records before them are; else they would count as lag for ever.
    """

    def __init__(self, consumer: Any) -> None:
        """Read and commit by kafka-python's consumer; used from one thread."""
        self._consumer = consumer
        self._pending: dict[TopicPartition, int] = {}  # offsets whose commit a rebalance prevented
        self._committed: dict[TopicPartition, int] = {}  # of the assigned partitions, as far as this member knows
        self._next_starts_s = 0.0  # when `add_starts` may ask again
        self._uncommitted: dict[TopicPartition, int] = {}  # the offset after the last entry, until it is committed

    def delivered(self, entries: Iterable[LogEntry]) -> None:
        """Note entries that were handed out: nothing behind them is committed before they are."""
        for entry in entries:
            self._uncommitted[TopicPartition(entry.position.topic, entry.position.partition)] = offset_after(entry)

    def moved(self, partition: TopicPartition, offset: int) -> None:
        """Note that a partition is read from `offset` on, whatever lies before it."""
        self._uncommitted[partition] = offset

    def rewound(self) -> None:
        """Note that every partition is read from its committed offset on."""
        self._uncommitted = {}

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit the offsets to read next; raise `BusUnavailable` when nothing was committed."""
        self._pending |= offsets
        self.commit_pending()

    def add_starts(self) -> None:
        """Let the start of each partition that is assigned since the last call be committed, where nothing is yet."""
        assigned = self._consumer.assignment()
        for lost in (self._committed.keys() | self._uncommitted.keys()) - assigned:
            self._committed.pop(lost, None)
            self._uncommitted.pop(lost, None)
        gained = assigned - self._committed.keys()
        if not gained or time.monotonic() < self._next_starts_s:
            return
        try:
            with translate_errors():
                found = self.committed(gained)
                new = [partition for partition, offset in found.items() if offset is None]
                starts = self._consumer.beginning_offsets(new, timeout_ms=REQUEST_TIMEOUT_S * 1000) if new else {}
        except BusUnavailable as error:  # while a broker is away, others may still be read
            log.debug("the starts of new partitions are not committed yet", error=str(error))
            self._next_starts_s = time.monotonic() + REQUEST_TIMEOUT_S
            return
        self._committed |= {each: starts[each] if offset is None else offset for each, offset in found.items()}
        self._pending |= {partition: start for partition, start in starts.items() if partition not in self._pending}

    def passed(self) -> dict[TopicPartition, int]:
        """Return the positions beyond what is committed, of partitions whose records are all committed."""
        positions = {
            partition: self._consumer.position(partition, timeout_ms=0)
            for partition in self._committed.keys() - self._uncommitted.keys()
            if partition in self._consumer.assignment()
        }
        return {each: at for each, at in positions.items() if at is not None and at > self._committed[each]}

    def add_passed(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Let offsets that `passed` returned be committed with the next `commit_pending`."""
        self._pending |= offsets

    def known_committed(self, partition: TopicPartition) -> int:
        """Return an assigned partition's committed offset as far as this member knows it, else 0."""
        return self._committed.get(partition, 0)

    def commit_pending(self) -> None:
        """Commit; offsets that a rebalance blocks stay pending until the next call, if it is still assigned then."""
        assigned = self._consumer.assignment()
        for lost in [each for each in self._pending if each not in assigned]:
            log.info("a partition is assigned to another member now, which reads it again", partition=lost.partition)
            del self._pending[lost]
        if not self._pending:
            return
        try:
            with translate_errors():
                self._consumer.commit(
                    {each: OffsetAndMetadata(offset, "", -1) for each, offset in self._pending.items()},
                    timeout_ms=REQUEST_TIMEOUT_S * 1000,
                )
        except BusUnavailable as error:
            if not isinstance(error.__cause__, kafka_errors.CommitFailedError | kafka_errors.RebalanceInProgressError):
                raise
            log.info("a rebalance is in progress; the commit waits for the next poll")
        else:
            self._note_committed(self._pending)
            self._pending = {}

    def committed(self, partitions: AbstractSet[TopicPartition]) -> dict[TopicPartition, int | None]:
        """Return the group's committed offset per partition, None where none exists yet."""
        return {each: self._consumer.committed(each, timeout_ms=REQUEST_TIMEOUT_S * 1000) for each in partitions}

    def lag(self, partitions: AbstractSet[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offsets per partition from the committed one to that of the first transaction under way.

        Offsets that were deleted unread count until they are reported, and committed as such.
        """
        timeout_ms = REQUEST_TIMEOUT_S * 1000
        with translate_errors():
            committed = self.committed(partitions)
            new = [partition for partition, offset in committed.items() if offset is None]
            starts = self._consumer.beginning_offsets(new, timeout_ms=timeout_ms) if new else {}
            ends = self._consumer.end_offsets(list(committed), timeout_ms=timeout_ms) if committed else {}
        return {
            each: max(0, ends[each] - (starts[each] if offset is None else offset))
            for each, offset in committed.items()
        }

    def _note_committed(self, offsets: Mapping[TopicPartition, int]) -> None:
        for partition, offset in offsets.items():
            self._committed[partition] = offset
            if offset >= self._uncommitted.get(partition, 0):
                self._uncommitted.pop(partition, None)
