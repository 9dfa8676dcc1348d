"""A member of a group that reads the embedded bus."""

import os
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from foundation.clock import Clock, from_epoch_us
from ingest.bus.embedded import membership as group_
from ingest.bus.embedded.database import open_database, read_transaction, translate_errors, write_transaction
from ingest.bus.header_codec import unpack_headers
from ingest.bus.protocol import Record, RecordPosition
from ingest.errors import BusUnavailable

_LOOK_EVERY_S = 0.002
_POLL_BYTES = 64_000_000  # handed out by one poll, and one record more

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TopicLog:
    """One topic of one file; `number` is the topic's id in it."""

    path: Path
    topic: str
    number: int
    partitions: int


def to_record(topic: str, partition: int, row: tuple[int, int, str | None, bytes, bytes]) -> Record:
    """A record from the columns offset, appended_us, key, headers, value."""
    offset, appended_us, key, headers, value = row
    appended_at = from_epoch_us(appended_us)
    return Record(RecordPosition(topic, partition, offset), key, value, unpack_headers(headers), appended_at)


class EmbeddedConsumer:
    """Keeps the contract of `ingest.bus.protocol.Consumer`; the lease is renewed by `poll` and by nothing else."""

    def __init__(self, log_: TopicLog, group: str, lease_s: float, clock: Clock) -> None:
        self._log = log_
        self._lease_s = lease_s
        self._clock = clock
        self._member = f"{os.getpid()}-{uuid.uuid4().hex}"
        self._held: dict[int, int] = {}  # partition → the generation in which it was given to us
        self._next: dict[int, int] = {}  # partition → the offset to read next
        self._turn = 0
        self._paused = False
        self._closed = False
        self._renewed_at: float | None = None
        self._file = open_database(log_.path, durable_commits=False)
        with write_transaction(self._file, log_.path):
            self._group = group_.group_number(self._file, log_.number, group)

    def poll(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        deadline = time.monotonic() + timeout_s
        looked_at: int | None = None
        while True:
            has_renewed = self._renew_when_due()
            version = self._version()
            if has_renewed or version != looked_at:
                records = self._look(0 if self._paused else max_records)
                looked_at = version
            left_s = deadline - time.monotonic()
            if records or left_s <= 0:
                return records
            time.sleep(min(left_s, _LOOK_EVERY_S))

    def commit(self, positions: Mapping[tuple[str, int], int]) -> None:
        self._refuse_when_closed()
        offsets = {partition: offset for (topic, partition), offset in positions.items() if topic == self._log.topic}
        with write_transaction(self._file, self._log.path):
            left_out = group_.commit(self._file, self._group, self._member, self._held, offsets)
        if left_out:
            log.info("partitions are another member's now; their new owner reads again", partitions=sorted(left_out))

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def seek(self, position: RecordPosition) -> None:
        if position.topic == self._log.topic and position.partition in self._held:
            self._next[position.partition] = position.offset

    def rewind(self) -> None:
        self._refuse_when_closed()
        with read_transaction(self._file, self._log.path):
            committed = group_.positions(self._file, self._group, self._log.number)
        self._next = {partition: committed[partition] for partition in self._held}

    def assignment(self) -> frozenset[tuple[str, int]]:
        return frozenset((self._log.topic, partition) for partition in self._held)

    def lag(self) -> Mapping[tuple[str, int], int]:
        self._refuse_when_closed()
        with read_transaction(self._file, self._log.path):
            committed = group_.positions(self._file, self._group, self._log.number)
            ends = self._ends()
        return {(self._log.topic, p): ends[p][1] - committed[p] for p in self._held}

    def group_lag(self) -> int:
        self._refuse_when_closed()
        with read_transaction(self._file, self._log.path):
            committed = group_.positions(self._file, self._group, self._log.number)
            return sum(after - committed[partition] for partition, (_, after) in self._ends().items())

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            with write_transaction(self._file, self._log.path):
                group_.leave(self._file, self._group, self._member, self._log.partitions)
        except BusUnavailable as error:
            log.warning("left the group without saying so; its share moves when the lease lapses", error=str(error))
        finally:
            self._held = {}
            self._file.close()

    def _version(self) -> int:
        """Another number once anybody else has written to the file: cheap to ask, a look costs thirty times as much."""
        with translate_errors(self._log.path):
            (version,) = self._file.execute("PRAGMA data_version").fetchone()
        return int(version)

    def _renew_when_due(self) -> bool:
        """Say whether it was."""
        self._refuse_when_closed()
        now = self._clock().timestamp()
        if self._renewed_at is not None and 0 <= now - self._renewed_at < self._lease_s / 3:
            return False
        with write_transaction(self._file, self._log.path):
            group_.renew(self._file, self._group, self._member, self._log.partitions, now, self._lease_s)
        self._renewed_at = now
        return True

    def _look(self, max_records: int) -> list[Record]:
        """Learn what is ours now, and read what lies before us there, partition by partition in turn."""
        records: list[Record] = []
        left_bytes = _POLL_BYTES
        with read_transaction(self._file, self._log.path):
            self._learn_shares()
            ends = self._ends()
            ours = sorted(self._held)
            for partition in ours[self._turn :] + ours[: self._turn]:
                first_offset, next_offset = ends[partition]
                self._skip_to(partition, first_offset)
                if len(records) >= max_records or left_bytes <= 0 or self._next[partition] >= next_offset:
                    continue
                for row in self._rows(partition, max_records - len(records)):
                    records.append(to_record(self._log.topic, partition, row))
                    self._next[partition] = row[0] + 1
                    left_bytes -= len(row[4])
                    if left_bytes <= 0:
                        break
        self._turn = (self._turn + 1) % max(len(ours), 1)
        return records

    def _learn_shares(self) -> None:
        held = group_.shares_of(self._file, self._group, self._member)
        gained = {p for p, generation in held.items() if self._held.get(p) != generation}
        if gained or len(held) != len(self._held):
            committed = group_.positions(self._file, self._group, self._log.number)
            self._next = {p: committed[p] if p in gained else self._next[p] for p in held}
            self._held = held
            log.info("partitions shared out", topic=self._log.topic, ours=sorted(held))

    def _skip_to(self, partition: int, first_offset: int) -> None:
        if self._next[partition] < first_offset:
            log.warning(
                "records are gone that were to be read; going on at the oldest",
                topic=self._log.topic, partition=partition, wanted=self._next[partition], oldest=first_offset,
            )  # fmt: skip
            self._next[partition] = first_offset

    def _rows(self, partition: int, limit: int) -> Any:
        return self._file.execute(
            "SELECT offset, appended_us, key, headers, value FROM records"
            " WHERE topic = ? AND partition = ? AND offset >= ? ORDER BY offset LIMIT ?",
            (self._log.number, partition, self._next[partition], limit),
        )

    def _ends(self) -> dict[int, tuple[int, int]]:
        """Partition → its first and its next offset."""
        rows = self._file.execute(
            "SELECT partition, first_offset, next_offset FROM partitions WHERE topic = ?", (self._log.number,)
        )
        return {partition: (first, after) for partition, first, after in rows}

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise BusUnavailable("this consumer is closed")
