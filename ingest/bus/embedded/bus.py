"""The embedded bus: a durable log in one SQLite file, for many processes on one machine (ADR 0001)."""

import queue
import sqlite3
import threading
import time
import zlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import structlog

from foundation.clock import Clock, to_epoch_us, utc_now
from ingest.bus.embedded import retention
from ingest.bus.embedded.consumer import EmbeddedConsumer, TopicLog, to_record
from ingest.bus.embedded.database import (
    PAGE_BYTES,
    open_database,
    read_transaction,
    translate_errors,
    write_transaction,
)
from ingest.bus.header_codec import pack_headers
from ingest.bus.protocol import MAX_MESSAGE_BYTES, DeliveryCallback, Message, Record, RecordPosition
from ingest.errors import BusMisconfigured, BusUnavailable, MessageTooLarge
from ingest.settings import IngestSettings

_TRANSACTION_BYTES = 16_000_000  # written at one go; the longest that others wait for their turn
_LET_OTHERS_IN_S = 0.002
_SWEEP_EVERY_S = 1.0
_TIDY_EVERY_BYTES = 4_000_000

log = structlog.get_logger()


class EmbeddedBus:
    """Keeps the contract of `ingest.bus.protocol.Bus` on `settings.embedded_path`."""

    def __init__(self, settings: IngestSettings, clock: Clock = utc_now) -> None:
        self._settings = settings
        self._clock = clock

    def ensure_topic(self, topic: str, partitions: int) -> None:
        path = self._settings.embedded_path
        with closing(open_database(path, durable_commits=True)) as file, write_transaction(file, path):
            if file.execute("SELECT 1 FROM topics WHERE name = ?", (topic,)).fetchone():
                return
            row = file.execute("INSERT INTO topics (name, partitions) VALUES (?, ?)", (topic, partitions))
            file.executemany(
                "INSERT INTO partitions VALUES (?, ?, 0, 0)", [(row.lastrowid, number) for number in range(partitions)]
            )

    def publisher(self, topic: str) -> "EmbeddedPublisher":
        return EmbeddedPublisher(self._log(topic), self._settings, self._clock)

    def consumer(self, topic: str, group: str) -> EmbeddedConsumer:
        return EmbeddedConsumer(self._log(topic), group, self._settings.lease_s, self._clock)

    def read(self, position: RecordPosition) -> Record | None:
        path = self._settings.embedded_path
        with closing(open_database(path, durable_commits=False)) as file, read_transaction(file, path):
            row = file.execute(
                "SELECT offset, appended_us, key, headers, value FROM records JOIN topics ON topics.id = topic"
                " WHERE topics.name = ? AND partition = ? AND offset = ?",
                (position.topic, position.partition, position.offset),
            ).fetchone()
        return None if row is None else to_record(position.topic, position.partition, row)

    def close(self) -> None:
        """Nothing is held open here: publishers and consumers close themselves."""

    def _log(self, topic: str) -> TopicLog:
        self.ensure_topic(topic, self._settings.partitions)
        path = self._settings.embedded_path
        with closing(open_database(path, durable_commits=False)) as file, read_transaction(file, path):
            number, partitions = file.execute("SELECT id, partitions FROM topics WHERE name = ?", (topic,)).fetchone()
        return TopicLog(path, topic, number, partitions)


@dataclass(frozen=True, slots=True)
class _HandedOver:
    message: Message
    on_delivery: DeliveryCallback


class EmbeddedPublisher:
    """Writes what is handed over in as few transactions as keep up, each on the disk before it is acknowledged."""

    def __init__(self, log_: TopicLog, settings: IngestSettings, clock: Clock) -> None:
        self._log = log_
        self._settings = settings
        self._clock = clock
        self._inbox: queue.SimpleQueue[_HandedOver | None] = queue.SimpleQueue()
        self._outstanding = 0
        self._settled = threading.Condition()
        self._closed = False
        self._next_sweep = 0.0
        self._untidied_bytes = 0
        self._file = open_database(log_.path, durable_commits=True, max_bytes=settings.embedded_max_bytes)
        self._writer = threading.Thread(target=self._write_on, name="embedded-bus-writer", daemon=True)
        self._writer.start()

    def publish(self, message: Message, on_delivery: DeliveryCallback) -> None:
        if message.size_bytes > MAX_MESSAGE_BYTES:
            raise MessageTooLarge(
                f"a message of {message.size_bytes} bytes is over the bus's limit of {MAX_MESSAGE_BYTES}"
            )
        with self._settled:
            if self._closed:
                raise BusUnavailable("this publisher is closed")
            self._outstanding += 1
        self._inbox.put(_HandedOver(message, on_delivery))

    def flush(self, timeout_s: float) -> None:
        with self._settled:
            if not self._settled.wait_for(lambda: self._outstanding == 0, timeout_s):
                raise BusUnavailable(f"{self._outstanding} messages are not acknowledged after {timeout_s:g} s")

    def close(self) -> None:
        with self._settled:
            if self._closed:
                return
            self._closed = True
        self._inbox.put(None)
        self._writer.join()
        self._file.close()

    def _write_on(self) -> None:
        while (batch := self._next_batch()) is not None:
            places: list[RecordPosition] | None = None
            failure: Exception | None = None
            try:
                places = self._write(batch)
            except (BusUnavailable, BusMisconfigured) as error:
                failure = error
            self._settle(batch, places, failure)
            self._untidied_bytes += sum(item.message.size_bytes for item in batch)
            self._tidy_when_idle()
            self._sweep_when_due()
            time.sleep(_LET_OTHERS_IN_S)  # else a consumer that commits would hardly ever find the file free

    def _next_batch(self) -> list[_HandedOver] | None:
        """What waits, up to a transaction's worth; empty when only the clock moved, None at the end."""
        try:
            first = self._inbox.get(timeout=_SWEEP_EVERY_S)
        except queue.Empty:
            return []
        batch: list[_HandedOver] = []
        size_bytes = 0
        item: _HandedOver | None = first
        while item is not None:
            batch.append(item)
            size_bytes += item.message.size_bytes
            if size_bytes >= _TRANSACTION_BYTES:
                return batch
            try:
                item = self._inbox.get_nowait()
            except queue.Empty:
                return batch
        if not batch:
            return None
        self._inbox.put(None)  # the end, seen too early
        return batch

    def _write(self, batch: Sequence[_HandedOver]) -> list[RecordPosition]:
        number, appended_us = self._log.number, to_epoch_us(self._clock())
        places: list[RecordPosition] = []
        if not batch:
            return places
        try:
            with write_transaction(self._file, self._log.path):
                next_offsets = dict(
                    self._file.execute("SELECT partition, next_offset FROM partitions WHERE topic = ?", (number,))
                )
                for item in batch:
                    key = item.message.key.encode("utf-8", "backslashreplace").decode()
                    partition = partition_for_key(key, self._log.partitions)
                    offset = next_offsets[partition]
                    next_offsets[partition] = offset + 1
                    self._file.execute(
                        "INSERT INTO records (topic, partition, offset, appended_us, key, headers, value)"
                        " VALUES (?, ?, ?, ?, ?, ?, ?)",
                        (number, partition, offset, appended_us, key, pack_headers(item.message.headers),
                         item.message.value),
                    )  # fmt: skip
                    places.append(RecordPosition(self._log.topic, partition, offset))
                self._file.executemany(
                    "UPDATE partitions SET next_offset = ? WHERE topic = ? AND partition = ?",
                    [(offset, number, partition) for partition, offset in next_offsets.items()],
                )
        except BusUnavailable as error:
            cause = error.__cause__
            if isinstance(cause, sqlite3.Error) and cause.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise self._full(error) from cause
            raise
        return places

    def _full(self, error: BusUnavailable) -> BusUnavailable:
        """Say which it was: the setting's limit and who holds it up, or the disk."""
        with translate_errors(self._log.path):
            (pages,) = self._file.execute("PRAGMA page_count").fetchone()
            (limit,) = self._file.execute("PRAGMA max_page_count").fetchone()
            (free,) = self._file.execute("PRAGMA freelist_count").fetchone()
        if (pages - free) * PAGE_BYTES + 2 * _TRANSACTION_BYTES < limit * PAGE_BYTES:
            return error
        behind = retention.furthest_behind(self._file, self._log.number)
        reason = "no group reads it yet" if behind is None else f"the group {behind} is furthest behind"
        return BusUnavailable(
            f"the embedded bus {self._log.path} is at its limit of {self._settings.embedded_max_bytes} bytes"
            f" (embedded_max_bytes), and {reason}: start a scorer or raise the limit"
        )

    def _sweep_when_due(self) -> None:
        now = time.monotonic()
        if now < self._next_sweep:
            return
        self._next_sweep = now + _SWEEP_EVERY_S
        before = self._clock().timestamp() - self._settings.embedded_retention_s
        try:
            while True:
                with write_transaction(self._file, self._log.path):
                    removed = retention.sweep(self._file, self._log.number, int(before * 1_000_000))
                if removed == 0:
                    return
                log.debug("old records removed", topic=self._log.topic, records=removed)
        except (BusUnavailable, BusMisconfigured) as error:
            log.warning("old records could not be removed; trying again later", error=str(error))

    def _tidy_when_idle(self) -> None:
        """Bring what was written from the journal into the file while nobody waits, else a later message waits for it.

        Beside a publisher that is never idle SQLite does it by itself, at a thousand pages.
        """
        if self._untidied_bytes < _TIDY_EVERY_BYTES or not self._inbox.empty():
            return
        self._untidied_bytes = 0
        try:
            with translate_errors(self._log.path):
                self._file.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except (BusUnavailable, BusMisconfigured) as error:
            log.debug("the journal could not be tidied; the next write meets it too", error=str(error))

    def _settle(
        self, batch: Sequence[_HandedOver], places: list[RecordPosition] | None, error: Exception | None
    ) -> None:
        for index, item in enumerate(batch):
            item.on_delivery(None if places is None else places[index], error)
        with self._settled:
            self._outstanding -= len(batch)
            self._settled.notify_all()


def partition_for_key(key: str, partitions: int) -> int:
    """The same on every machine and in every release, so a station stays in its partition."""
    return zlib.crc32(key.encode()) % partitions
