"""A consumer of the embedded bus: one member of a group."""

import os
import time
import uuid
from collections.abc import Mapping, Sequence

import structlog

from foundation.clock import Clock
from ingest.bus.embedded import membership
from ingest.bus.embedded.database import TopicLog, open_database, read_transaction, translate_errors, write_transaction
from ingest.bus.embedded.rows import RowReader
from ingest.bus.protocol import DeletedRecords, LogEntry, Record, RecordPosition, offset_after
from ingest.errors import BusUnavailable

_POLL_INTERVAL_S = 0.002
_MAX_POLL_BYTES = 64_000_000  # returned by one poll, and one record more

log = structlog.get_logger()


class EmbeddedConsumer:
    """Implements `ingest.bus.protocol.Consumer`; only `poll` renews the lease."""

    def __init__(self, topic_log: TopicLog, group: str, lease_s: float, clock: Clock) -> None:
        """Open the file; the first `poll` joins the group. Raises as `open_database` does."""
        self._log = topic_log
        self._lease_s = lease_s
        self._clock = clock
        self._member = f"{os.getpid()}-{uuid.uuid4().hex}"
        self._generations: dict[int, int] = {}  # of the assigned partitions
        self._next: dict[int, int] = {}  # offset to read next, by partition
        self._first = 0  # index of the partition that the next fetch starts with
        self._paused = False
        self._closed = False
        self._renewed_at: float | None = None
        self._file = open_database(topic_log.path, durable_commits=False)
        self._rows = RowReader(self._file, topic_log)
        with write_transaction(self._file, topic_log.path):
            self._group = membership.find_or_create_group(self._file, topic_log.topic_id, group)

    def poll(self, max_records: int, timeout_s: float) -> Sequence[LogEntry]:
        """Return up to `max_records` next records, after at most `timeout_s`; raise `BusUnavailable`."""
        deadline = time.monotonic() + timeout_s
        seen_version: int | None = None
        while True:
            has_renewed = self._renew_when_due()
            version = self._version()
            if has_renewed or version != seen_version:
                entries = self._fetch(0 if self._paused else max_records)
                seen_version = version
            remaining_s = deadline - time.monotonic()
            if entries or remaining_s <= 0:
                return entries
            time.sleep(min(remaining_s, _POLL_INTERVAL_S))

    def commit(self, positions: Mapping[tuple[str, int], int]) -> None:
        """Commit the offsets to read next, per (topic, partition); raise `BusUnavailable` when nothing was."""
        self._require_open()
        offsets = {partition: offset for (topic, partition), offset in positions.items() if topic == self._log.topic}
        with write_transaction(self._file, self._log.path):
            lost = membership.commit_offsets(self._file, self._group, self._member, self._generations, offsets)
        if lost:
            log.info("partitions are assigned to another member now, which reads them again", partitions=sorted(lost))

    def pause(self) -> None:
        """Return no records until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """Undo `pause`."""
        self._paused = False

    def seek(self, position: RecordPosition) -> None:
        """Read an assigned partition from this position on."""
        if position.topic == self._log.topic and position.partition in self._generations:
            self._next[position.partition] = position.offset

    def rewind(self) -> None:
        """Return to the committed offset of every assigned partition."""
        self._require_open()
        with read_transaction(self._file, self._log.path):
            committed = membership.committed_offsets(self._file, self._group, self._log.topic_id)
        self._next = {partition: committed[partition] for partition in self._generations}

    def assignment(self) -> frozenset[tuple[str, int]]:
        """Return the assigned (topic, partition) pairs."""
        return frozenset((self._log.topic, partition) for partition in self._generations)

    def lag(self) -> Mapping[tuple[str, int], int]:
        """Return the records beyond the committed offset, per assigned (topic, partition)."""
        self._require_open()
        with read_transaction(self._file, self._log.path):
            committed = membership.committed_offsets(self._file, self._group, self._log.topic_id)
            ends = self._ends()
        return {(self._log.topic, p): ends[p][1] - committed[p] for p in self._generations}

    def group_lag(self) -> int:
        """Return the records beyond the committed offsets of the whole topic."""
        self._require_open()
        with read_transaction(self._file, self._log.path):
            committed = membership.committed_offsets(self._file, self._group, self._log.topic_id)
            return sum(end - committed[partition] for partition, (_, end) in self._ends().items())

    def close(self) -> None:
        """Leave the group without committing; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        try:
            with write_transaction(self._file, self._log.path):
                membership.leave_group(self._file, self._group, self._member, self._log.partitions)
        except BusUnavailable as error:
            log.warning("could not leave the group; its partitions wait until the lease expires", error=str(error))
        finally:
            self._generations = {}
            self._file.close()

    def _version(self) -> int:
        """Return a number that changes when another connection writes; a fetch costs thirty times as much."""
        with translate_errors(self._log.path):
            (version,) = self._file.execute("PRAGMA data_version").fetchone()
        return int(version)

    def _renew_when_due(self) -> bool:
        """Renew the lease if a third of it has passed; return whether it was renewed."""
        self._require_open()
        now = self._clock().timestamp()
        if self._renewed_at is not None and 0 <= now - self._renewed_at < self._lease_s / 3:
            return False
        with write_transaction(self._file, self._log.path):
            membership.renew_lease(self._file, self._group, self._member, self._log.partitions, now, self._lease_s)
        self._renewed_at = now
        return True

    def _fetch(self, max_records: int) -> list[LogEntry]:
        """Read the assignment, and up to `max_records` next records, starting with another partition each time."""
        entries: list[LogEntry] = []
        remaining_bytes = _MAX_POLL_BYTES
        with read_transaction(self._file, self._log.path):
            self._read_assignment()
            ends = self._ends()
            assigned = sorted(self._generations)
            for partition in assigned[self._first :] + assigned[: self._first]:
                first_offset, next_offset = ends[partition]
                if len(entries) >= max_records or remaining_bytes <= 0:
                    break
                if self._next[partition] < first_offset:
                    entries += self._skip_deleted(partition, first_offset)
                wanted = max_records - len(entries)
                for entry in self._rows.entries(partition, self._next[partition], next_offset, wanted):
                    entries.append(entry)
                    self._next[partition] = offset_after(entry)
                    remaining_bytes -= len(entry.value) if isinstance(entry, Record) else 0
                    if remaining_bytes <= 0:
                        break
        self._first = (self._first + 1) % max(len(assigned), 1)
        return entries

    def _read_assignment(self) -> None:
        generations = membership.assigned_partitions(self._file, self._group, self._member)
        gained = {p for p, generation in generations.items() if self._generations.get(p) != generation}
        if gained or len(generations) != len(self._generations):
            committed = membership.committed_offsets(self._file, self._group, self._log.topic_id)
            self._next = {p: committed[p] if p in gained else self._next[p] for p in generations}
            self._generations = generations
            log.info("partitions assigned", topic=self._log.topic, partitions=sorted(generations))

    def _skip_deleted(self, partition: int, first_offset: int) -> list[DeletedRecords]:
        """Continue at the oldest record; return what was deleted before it, unless the group had committed that."""
        committed = membership.committed_offsets(self._file, self._group, self._log.topic_id)[partition]
        begin = max(self._next[partition], committed)
        self._next[partition] = first_offset
        if begin >= first_offset:
            return []
        log.error(
            "records were deleted before they were read; continuing at the oldest",
            topic=self._log.topic, partition=partition, wanted=begin, oldest=first_offset,
        )  # fmt: skip
        return [DeletedRecords(RecordPosition(self._log.topic, partition, begin), first_offset - begin)]

    def _ends(self) -> dict[int, tuple[int, int]]:
        """Return the first and the next offset by partition."""
        rows = self._file.execute(
            "SELECT partition, first_offset, next_offset FROM partitions WHERE topic = ?", (self._log.topic_id,)
        )
        return {partition: (first, end) for partition, first, end in rows}

    def _require_open(self) -> None:
        if self._closed:
            raise BusUnavailable("This consumer is closed.")
