"""The records of one fetch of one partition, of which none stops the others; `ingest.bus.kafka.fetcher` says how."""

import struct
from collections.abc import Generator, Iterator
from typing import Any, NamedTuple

import structlog
from kafka import TopicPartition, errors
from kafka.consumer.fetcher import ConsumerRecord, Fetcher
from kafka.protocol.consumer import IsolationLevel
from kafka.record.legacy_records import LegacyRecordBatch

from ingest.bus.attempts import ReadAttempts
from ingest.bus.kafka.record_batch import DamagedRecord, LenientRecordBatch

NO_LIMIT = 2**62
"""A high watermark where none is known."""

_BATCH_START = struct.Struct(">qi")  # a batch's first offset, and its bytes after these two
_MAGIC_OFFSET = 16
_NEWEST_MAGIC = 2  # the version of the format

log = structlog.get_logger()


class UnreadableEntry(NamedTuple):
    """What kafka-python's poll returns in place of a `ConsumerRecord` that can't be read."""

    topic: str
    partition: int
    offset: int
    error: str
    raw: bytes


class MisplacedBatchError(Exception):
    """A batch whose checksum is right claims the offsets of the batch before it; `offsets` is how many it has."""

    def __init__(self, batch: LenientRecordBatch, expected: int) -> None:
        """Name both offsets."""
        super().__init__(f"the batch has the offset {batch.base_offset} in the place of {expected}")
        self.offsets: int = batch.last_offset_delta + 1


class ResilientRecords(Fetcher.PartitionRecords):  # type: ignore[misc]  # kafka-python has no types
    """The records of one fetch of one partition."""

    def __init__(self, attempts: ReadAttempts, high_watermark: int, *args: Any, **config: Any) -> None:
        """Take what `Fetcher.PartitionRecords` takes; no record has an offset from `high_watermark` on."""
        self._attempts = attempts
        self._high_watermark = high_watermark
        super().__init__(*args, **config)

    def replace_by_error(self, error: Exception, raw: bytes) -> None:
        """Make the offset that was fetched the only entry, as unreadable."""

        def entry() -> Iterator[UnreadableEntry]:
            yield from self.unreadable(self.fetch_offset, self.fetch_offset + 1, error, raw)
            self.drain()

        self.record_iterator = entry()

    def unreadable(self, begin: int, end: int, error: Exception, raw: bytes) -> Iterator[UnreadableEntry]:
        """Yield the offsets from `begin` to `end` as unreadable, and let the next fetch begin at `end`."""
        partition = self.topic_partition
        log.error(
            "records can't be read and are passed",
            topic=partition.topic, partition=partition.partition, offset=begin, records=end - begin, error=str(error),
        )  # fmt: skip
        reason = f"{type(error).__name__}: {error}"
        for offset in range(begin, end):
            self.next_fetch_offset = offset + 1
            yield UnreadableEntry(partition.topic, partition.partition, offset, reason, raw)

    def _unpack_records(self, tp: TopicPartition, records: Any, *_: Any) -> Iterator[Any]:
        try:
            for raw, following in _batches(memoryview(records._buffer)):
                if (yield from self._read_batch(raw, following)) is False:
                    break  # it is fetched again
        finally:
            self.drain()

    def _read_batch(self, raw: memoryview, following: int | None) -> Generator[Any, None, bool]:
        """Yield a batch's entries; return False where it is to be fetched again.

        `following` is the first offset of the next batch, where the fetch has one.
        """
        expected = self.next_fetch_offset
        if following is not None and not expected < following < self._high_watermark:
            following = None  # it is damaged itself
        try:
            batch = _checked(raw, expected, following or self._high_watermark, is_first=expected == self.fetch_offset)
        except MemoryError:
            raise
        except MisplacedBatchError as error:  # another fetch would believe it
            end = following or min(expected + error.offsets, self._high_watermark)
            yield from self.unreadable(expected, end, error, bytes(raw))
            return True
        except Exception as error:  # noqa: BLE001  a damaged batch may fail in any way
            if not self._attempts.failed(self.topic_partition, expected):
                return False
            yield from self.unreadable(*self._bounds(raw, following), error, bytes(raw))
            return True
        self._attempts.succeeded(self.topic_partition)
        if isinstance(batch, LegacyRecordBatch):
            yield from self._read_legacy(batch, raw)
            self.next_fetch_offset = max(self.next_fetch_offset, batch.base_offset + 1)
            return True
        self.leader_epoch = batch.leader_epoch
        if not self._is_passed(batch):
            yield from self._read_records(batch, raw)
        self.next_fetch_offset = batch.next_offset
        return True

    def _bounds(self, raw: memoryview, following: int | None) -> tuple[int, int]:
        """Return the offsets of a damaged batch's records that are not read yet, the end not included.

        The header is believed only where it agrees with itself and with what lies around it. Without such a header and
        a next batch it is one record; the next fetch returns the batch again if there are more.
        """
        expected, limit = self.next_fetch_offset, following or self._high_watermark
        if len(raw) >= LenientRecordBatch.HEADER_STRUCT.size:
            header = LenientRecordBatch(raw)
            if header.is_dense and expected < header.next_offset <= limit:
                return max(header.base_offset, expected), header.next_offset
        return expected, following or expected + 1

    def _is_passed(self, batch: LenientRecordBatch) -> bool:
        """Return whether the batch has no records for a consumer: it is aborted, or ends a transaction."""
        if self.isolation_level == IsolationLevel.READ_COMMITTED and batch.has_producer_id():
            self._consume_aborted_transactions_up_to(batch.last_offset)
            if not batch.is_control_batch and self._is_batch_aborted(batch):
                return True
            if batch.is_control_batch:  # whatever ends the transaction, it ends an aborted one
                self.aborted_producer_ids.discard(batch.producer_id)
        return bool(batch.is_control_batch)

    def _read_records(self, batch: LenientRecordBatch, raw: memoryview) -> Iterator[Any]:
        begin = max(self.next_fetch_offset, batch.base_offset)
        try:
            for record in batch.entries():
                if record.offset < begin:
                    continue
                if isinstance(record, DamagedRecord):
                    yield from self.unreadable(record.offset, record.offset + 1, record.error, record.raw)
                else:
                    yield self._entry(record)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  the batch can't be decompressed
            yield from self.unreadable(max(self.next_fetch_offset, begin), batch.next_offset, error, bytes(raw))

    def _read_legacy(self, batch: LegacyRecordBatch, raw: memoryview) -> Iterator[Any]:
        """Yield the records of the formats before version 2; after one that can't be read, its batch ends."""
        try:
            for record in batch:
                if record.offset < self.next_fetch_offset:
                    continue
                if not record.validate_crc():
                    raise errors.CorruptRecordError("the record has a wrong checksum")
                yield self._entry(record)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  a record may be damaged in any way
            begin = self.next_fetch_offset
            yield from self.unreadable(begin, max(batch.base_offset, begin) + 1, error, bytes(raw))

    def _entry(self, record: Any) -> Any:
        partition = self.topic_partition
        self.records_read += 1
        self.bytes_read += record.size_in_bytes
        self.next_fetch_offset = record.offset + 1
        return ConsumerRecord(
            topic=partition.topic,
            partition=partition.partition,
            leader_epoch=self.leader_epoch,
            offset=record.offset,
            timestamp=record.timestamp,
            timestamp_type=record.timestamp_type,
            key=record.key,
            value=record.value,
            headers=record.headers,
            checksum=record.checksum,
            serialized_key_size=len(record.key or b""),
            serialized_value_size=len(record.value or b""),
            serialized_header_size=-1,
        )


def _batches(buffer: memoryview) -> Iterator[tuple[memoryview, int | None]]:
    """Yield each whole batch of a fetch with the first offset of the next one, if any; the last may be cut off.

    A batch whose length can't be one ends the fetch, with all that comes after it as its bytes.
    """
    start = 0
    while len(buffer) - start >= _BATCH_START.size:
        _, size = _BATCH_START.unpack_from(buffer, start)
        end = start + _BATCH_START.size + size
        if size <= 0:
            yield buffer[start:], None
            return
        if end > len(buffer):
            return
        has_next = len(buffer) - end >= _BATCH_START.size
        yield buffer[start:end], _BATCH_START.unpack_from(buffer, end)[0] if has_next else None
        start = end


def _checked(raw: memoryview, expected: int, limit: int, *, is_first: bool) -> LegacyRecordBatch | LenientRecordBatch:
    """Return a batch whose checksum is right and whose format and offsets, which it does not cover, can be right.

    Args:
        raw: The batch.
        expected: The offset to read next, which the batch has or which lies before it.
        limit: An offset that lies behind the batch.
        is_first: Whether the batch begins the fetch, and so may have offsets before the expected one.
    """
    magic = raw[_MAGIC_OFFSET]
    if magic > _NEWEST_MAGIC:
        raise errors.CorruptRecordError(f"the batch has the unknown format {magic}")
    batch = LegacyRecordBatch(raw, magic) if magic < _NEWEST_MAGIC else LenientRecordBatch(raw)
    if not batch.validate_crc():
        raise errors.CorruptRecordError("the batch has a wrong checksum")
    if magic == _NEWEST_MAGIC and batch.base_offset != expected:
        if batch.base_offset < expected and not is_first:
            raise MisplacedBatchError(batch, expected)
        if not expected < batch.next_offset <= limit:
            raise errors.CorruptRecordError(f"the batch has the offset {batch.base_offset} in the place of {expected}")
    return batch
