"""A fetcher for kafka-python's consumers that no record stops, and that tells which records were deleted unread.

kafka-python 3.0.12 raises the same error at the same offset for ever: at a batch with a wrong checksum, a codec that is
not installed, a record that is not as the format says. Here such a record takes its place among the others as an
`UnreadableEntry`, and the fetch goes on behind it. Which records that concerns is as few as can be told:

- A wrong checksum may have come about on the way, so the batch is fetched `MAX_ATTEMPTS` times. Then all its records
  are unreadable, as none of its bytes can be trusted, not even its header: its bounds are those of its neighbours.
- With the right checksum, a batch that can't be decompressed is unreadable as a whole, and otherwise each record alone.
- What the broker can't read, it reports as an error of the offset. Where the error may as well be an outage, it is
  raised, until it has lasted for `OUTAGE_PATIENCE_S`.
"""

from collections import deque
from typing import Any, NamedTuple

import structlog
from kafka import TopicPartition, errors
from kafka.consumer import group
from kafka.consumer.fetcher import Fetcher, RecordTooLargeError
from kafka.record.memory_records import MemoryRecords

from ingest.bus.attempts import OUTAGE_PATIENCE_S, ReadAttempts
from ingest.bus.kafka.errors import PERMANENT_ERRORS
from ingest.bus.kafka.fetched_records import NO_LIMIT, ResilientRecords

_DAMAGE = (errors.CorruptRecordError, RecordTooLargeError)

log = structlog.get_logger()


class DeletedRange(NamedTuple):
    """Offsets that were deleted before they were read, the end not included."""

    partition: TopicPartition
    begin: int
    end: int


class ResilientFetcher(Fetcher):  # type: ignore[misc]  # kafka-python has no types
    """Fetches as `Fetcher` does; see the module."""

    def __init__(self, *args: Any, **config: Any) -> None:
        """Take what `Fetcher` takes."""
        super().__init__(*args, **config)
        self._attempts = ReadAttempts()
        self._high_watermark = NO_LIMIT  # of the fetch that is being parsed
        self._out_of_range: dict[TopicPartition, int] = {}
        self._deleted: deque[DeletedRange] = deque()

    def take_deleted(self) -> list[DeletedRange]:
        """Return the offsets that were found to be deleted since the last call."""
        taken = []
        while self._deleted:  # the network thread may add one meanwhile
            taken.append(self._deleted.popleft())
        return taken

    def PartitionRecords(self, *args: Any, **config: Any) -> "ResilientRecords":  # noqa: N802  kafka-python's name
        """Return the records of a fetch, which is being parsed."""
        return ResilientRecords(self._attempts, self._high_watermark, *args, **config)

    def _parse_fetched_data(self, completed_fetch: Any) -> Any:
        partition, offset = completed_fetch.topic_partition, completed_fetch.fetched_offset
        high_watermark = completed_fetch.partition_data.high_watermark
        self._high_watermark = high_watermark if high_watermark > 0 else NO_LIMIT
        if completed_fetch.partition_data.error_code == errors.OffsetOutOfRangeError.errno:
            self._out_of_range[partition] = offset
        try:
            return super()._parse_fetched_data(completed_fetch)
        except (*PERMANENT_ERRORS, MemoryError):
            raise
        except Exception as error:
            raw = bytes(completed_fetch.partition_data.records or b"")
            is_damage = isinstance(error, _DAMAGE) or bool(raw)
            if not self._attempts.failed(partition, offset, 0 if is_damage else OUTAGE_PATIENCE_S):
                if is_damage:
                    return None  # it is fetched again
                if isinstance(error, errors.KafkaError):
                    raise
                raise errors.KafkaError(f"kafka-python can't parse a fetch: {error!r}") from error
            records = self.PartitionRecords(offset, partition, MemoryRecords(b""))
            records.replace_by_error(error, raw)
            return records

    def _reset_offset_if_needed(self, partition: TopicPartition, timestamp: Any, offset: int) -> None:
        """Continue at the oldest record, as the base class does, and note before it what was deleted."""
        is_needed = self._subscriptions.is_assigned(partition) and self._subscriptions.is_offset_reset_needed(partition)
        wanted = self._out_of_range.pop(partition, offset) if is_needed else offset
        if wanted < offset:
            self._deleted.append(DeletedRange(partition, wanted, offset))
        elif wanted > offset:
            log.warning(
                "the log ends before the offset to read next: the topic was created again, or it has lost records;"
                " reading it from its start",
                topic=partition.topic, partition=partition.partition, wanted=wanted, oldest=offset,
            )  # fmt: skip
        super()._reset_offset_if_needed(partition, timestamp, offset)


def install_resilient_fetcher() -> None:
    """Make kafka-python's consumers fetch with `ResilientFetcher`; may be called again."""
    group.Fetcher = ResilientFetcher
