"""A publisher of the embedded bus."""

import queue
import sqlite3
import threading
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from foundation.clock import Clock, to_epoch_us
from ingest.bus.embedded import retention
from ingest.bus.embedded.database import PAGE_BYTES, TopicLog, open_database, translate_errors, write_transaction
from ingest.bus.header_codec import pack_headers
from ingest.bus.protocol import MAX_MESSAGE_BYTES, DeliveryCallback, Message, RecordPosition
from ingest.errors import BusMisconfigured, BusUnavailable, MessageTooLarge
from ingest.settings import IngestSettings

_MAX_TRANSACTION_BYTES = 16_000_000  # bounds how long others wait for the file
_YIELD_S = 0.002
_SWEEP_INTERVAL_S = 1.0
_CHECKPOINT_BYTES = 4_000_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Handover:
    message: Message
    on_delivery: DeliveryCallback


class EmbeddedPublisher:
    """Writes messages in as few transactions as keep up with them, each on the disk before it is acknowledged."""

    def __init__(self, topic_log: TopicLog, settings: IngestSettings, clock: Clock) -> None:
        """Open the file and start the writer thread. Raises as `open_database` does."""
        self._log = topic_log
        self._settings = settings
        self._clock = clock
        self._inbox: queue.SimpleQueue[_Handover | None] = queue.SimpleQueue()
        self._outstanding = 0
        self._settled = threading.Condition()
        self._closed = False
        self._next_sweep_s = 0.0
        self._bytes_since_checkpoint = 0
        self._file = open_database(topic_log.path, durable_commits=True, max_bytes=settings.embedded_max_bytes)
        self._writer = threading.Thread(target=self._run, name="embedded-bus-writer", daemon=True)
        self._writer.start()

    def publish(self, message: Message, on_delivery: DeliveryCallback) -> None:
        """Hand over a message and return; `on_delivery` gets the outcome in the writer thread.

        Raises:
            MessageTooLarge: The message is over `MAX_MESSAGE_BYTES`.
            BusUnavailable: This publisher is closed.
        """
        if message.size_bytes > MAX_MESSAGE_BYTES:
            raise MessageTooLarge(
                f"A message of {message.size_bytes} bytes is over the bus's limit of {MAX_MESSAGE_BYTES}."
            )
        with self._settled:
            if self._closed:
                raise BusUnavailable("This publisher is closed.")
            self._outstanding += 1
        self._inbox.put(_Handover(message, on_delivery))

    def flush(self, timeout_s: float) -> None:
        """Wait until every message that was handed over has an outcome; raise `BusUnavailable` after `timeout_s`."""
        with self._settled:
            if not self._settled.wait_for(lambda: self._outstanding == 0, timeout_s):
                raise BusUnavailable(f"{self._outstanding} messages are not acknowledged after {timeout_s:g} s.")

    def close(self) -> None:
        """Write the messages handed over, and close; safe to call twice."""
        with self._settled:
            if self._closed:
                return
            self._closed = True
        self._inbox.put(None)
        self._writer.join()
        self._file.close()

    # The writer thread

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            positions: list[RecordPosition] | None = None
            failure: Exception | None = None
            try:
                positions = self._write(batch)
            except (BusUnavailable, BusMisconfigured) as error:
                failure = error
            self._report(batch, positions, failure)
            self._bytes_since_checkpoint += sum(each.message.size_bytes for each in batch)
            self._checkpoint_when_idle()
            self._sweep_when_due()
            time.sleep(_YIELD_S)  # else a consumer that commits would hardly ever find the file unlocked

    def _next_batch(self) -> list[_Handover] | None:
        """Return the waiting messages, up to one transaction; empty when a sweep may be due, None at the end."""
        try:
            first = self._inbox.get(timeout=_SWEEP_INTERVAL_S)
        except queue.Empty:
            return []
        batch: list[_Handover] = []
        size_bytes = 0
        handover: _Handover | None = first
        while handover is not None:
            batch.append(handover)
            size_bytes += handover.message.size_bytes
            if size_bytes >= _MAX_TRANSACTION_BYTES:
                return batch
            try:
                handover = self._inbox.get_nowait()
            except queue.Empty:
                return batch
        if not batch:
            return None
        self._inbox.put(None)  # the end comes after this batch
        return batch

    def _write(self, batch: Sequence[_Handover]) -> list[RecordPosition]:
        topic_id, appended_us = self._log.topic_id, to_epoch_us(self._clock())
        positions: list[RecordPosition] = []
        if not batch:
            return positions
        try:
            with write_transaction(self._file, self._log.path):
                next_offsets = dict(
                    self._file.execute("SELECT partition, next_offset FROM partitions WHERE topic = ?", (topic_id,))
                )
                for handover in batch:
                    key = handover.message.key.encode("utf-8", "backslashreplace").decode()
                    partition = partition_for_key(key, self._log.partitions)
                    offset = next_offsets[partition]
                    next_offsets[partition] = offset + 1
                    self._file.execute(
                        "INSERT INTO records (topic, partition, offset, appended_us, key, headers, value)"
                        " VALUES (?, ?, ?, ?, ?, ?, ?)",
                        (topic_id, partition, offset, appended_us, key, pack_headers(handover.message.headers),
                         handover.message.value),
                    )  # fmt: skip
                    positions.append(RecordPosition(self._log.topic, partition, offset))
                self._file.executemany(
                    "UPDATE partitions SET next_offset = ? WHERE topic = ? AND partition = ?",
                    [(offset, topic_id, partition) for partition, offset in next_offsets.items()],
                )
        except BusUnavailable as error:
            cause = error.__cause__
            if isinstance(cause, sqlite3.Error) and cause.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise self._explain_full(error) from cause
            raise
        return positions

    def _explain_full(self, error: BusUnavailable) -> BusUnavailable:
        """Return `error` if the disk is full, else one that names the setting's limit and the slowest group."""
        with translate_errors(self._log.path):
            (pages,) = self._file.execute("PRAGMA page_count").fetchone()
            (max_pages,) = self._file.execute("PRAGMA max_page_count").fetchone()
            (free_pages,) = self._file.execute("PRAGMA freelist_count").fetchone()
        if (pages - free_pages) * PAGE_BYTES + 2 * _MAX_TRANSACTION_BYTES < max_pages * PAGE_BYTES:
            return error
        slowest = retention.slowest_group(self._file, self._log.topic_id)
        reason = "no group reads it yet" if slowest is None else f"the group {slowest} has the largest lag"
        return BusUnavailable(
            f"The embedded bus {self._log.path} is at its limit of {self._settings.embedded_max_bytes} bytes"
            f" (embedded_max_bytes), and {reason}: start a scorer or raise the limit."
        )

    def _sweep_when_due(self) -> None:
        """Delete expired records, once per interval."""
        now_s = time.monotonic()
        if now_s < self._next_sweep_s:
            return
        self._next_sweep_s = now_s + _SWEEP_INTERVAL_S
        before_us = to_epoch_us(self._clock()) - int(self._settings.embedded_retention_s * 1_000_000)
        try:
            while True:
                with write_transaction(self._file, self._log.path):
                    deleted = retention.delete_expired(self._file, self._log.topic_id, before_us)
                if deleted == 0:
                    return
                log.debug("expired records deleted", topic=self._log.topic, records=deleted)
        except (BusUnavailable, BusMisconfigured) as error:
            log.warning("expired records can't be deleted; trying again later", error=str(error))

    def _checkpoint_when_idle(self) -> None:
        """Move written pages from the journal into the file while no message waits, else a later one would wait.

        Beside a publisher that is never idle SQLite does so by itself, at a thousand pages.
        """
        if self._bytes_since_checkpoint < _CHECKPOINT_BYTES or not self._inbox.empty():
            return
        self._bytes_since_checkpoint = 0
        try:
            with translate_errors(self._log.path):
                self._file.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except (BusUnavailable, BusMisconfigured) as error:
            log.debug("the checkpoint failed; the next write fails in the same way", error=str(error))

    def _report(
        self, batch: Sequence[_Handover], positions: list[RecordPosition] | None, error: Exception | None
    ) -> None:
        for index, handover in enumerate(batch):
            handover.on_delivery(None if positions is None else positions[index], error)
        with self._settled:
            self._outstanding -= len(batch)
            self._settled.notify_all()


def partition_for_key(key: str, partitions: int) -> int:
    """Return a key's partition; the same on every machine and in every release, so a station stays in its own."""
    return zlib.crc32(key.encode()) % partitions
