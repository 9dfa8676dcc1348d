"""A consumer of Kafka: one member of a group."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from foundation.clock import from_epoch_us
from ingest.bus.attempts import OUTAGE_PATIENCE_S, ReadAttempts
from ingest.bus.kafka.connection import KafkaConnection
from ingest.bus.kafka.errors import translate_errors
from ingest.bus.kafka.fetched_records import UnreadableEntry
from ingest.bus.kafka.fetcher import DeletedRange
from ingest.bus.kafka.group_offsets import REQUEST_TIMEOUT_S, GroupOffsets
from ingest.bus.protocol import DeletedRecords, LogEntry, Record, RecordPosition, UnreadableRecord
from ingest.errors import BusUnavailable
from ingest.settings import IngestSettings

_PROBE_INTERVAL_S = 2.0  # without records, how often to query the brokers
_MIN_SESSION_TIMEOUT_S = 6.0  # group.min.session.timeout.ms
_MIN_POLL_INTERVAL_S = 30.0  # a member that vanished while joining holds the others up for as long
_MAX_TIMESTAMP_MS = 253_402_300_799_999  # the end of the year 9999; producers may send any
_JOIN_TIMEOUT_S = 3.0  # others learn of a join by their next heartbeat, every lease_s / 10

FETCH_CONFIG = {
    "max_partition_fetch_bytes": 4_000_000,  # some 20 images of a partition; a larger single one is fetched too
    "fetch_max_bytes": 32_000_000,  # per broker and request
    "fetch_max_wait_ms": 100,
    "check_crcs": True,
    "isolation_level": "read_committed",
}

log = structlog.get_logger()


def to_entry(raw: Any) -> Record | UnreadableRecord:
    """Return an entry of the bus for what `ResilientFetcher` returns."""
    position = RecordPosition(raw.topic, raw.partition, raw.offset)
    if isinstance(raw, UnreadableEntry):
        return UnreadableRecord(position, f"The record can't be read ({raw.error}).", raw.raw)
    return Record(
        position=position,
        key=None if raw.key is None else bytes(raw.key).decode("utf-8", "backslashreplace"),
        value=b"" if raw.value is None else bytes(raw.value),
        headers=tuple((name, b"" if value is None else bytes(value)) for name, value in raw.headers),
        appended_at=from_epoch_us(1000 * min(max(raw.timestamp or 0, 0), _MAX_TIMESTAMP_MS)),
    )


def _deleted_records(deleted: DeletedRange) -> DeletedRecords:
    topic, partition = deleted.partition
    log.error(
        "records were deleted before they were read; continuing at the oldest",
        topic=topic, partition=partition, wanted=deleted.begin, oldest=deleted.end,
    )  # fmt: skip
    return DeletedRecords(RecordPosition(topic, partition, deleted.begin), deleted.end - deleted.begin)


class KafkaGroupConsumer:
    """Implements `ingest.bus.protocol.Consumer`.

    kafka-python's poll returns nothing, and raises nothing, when no broker can be reached. Here the brokers are probed
    when no records arrive, and `BusUnavailable` is raised once none has answered for `kafka_unavailable_after_s`. The
    consumer recovers when it is polled again.
    """

    def __init__(self, connection: KafkaConnection, settings: IngestSettings, topic: str, group: str) -> None:
        """Connect, and join the group on the first `poll`. Raises as `KafkaConnection.open` does."""
        self._connection = connection
        self._unavailable_after_s = settings.kafka_unavailable_after_s
        self._topic = topic
        self._paused = False
        self._closed = False
        self._answered_s = self._probed_s = time.monotonic()
        self._consumer = connection.open(
            KafkaConsumer,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            partition_assignment_strategy=(CooperativeStickyAssignor,),
            session_timeout_ms=int(max(settings.lease_s, _MIN_SESSION_TIMEOUT_S) * 1000),
            heartbeat_interval_ms=int(max(settings.lease_s, _MIN_SESSION_TIMEOUT_S) * 1000 / 10),
            max_poll_interval_ms=int(max(3 * settings.lease_s, _MIN_POLL_INTERVAL_S) * 1000),
            **FETCH_CONFIG,
        )
        self._offsets = GroupOffsets(self._consumer)
        self._attempts = ReadAttempts()
        with translate_errors():
            self._consumer.subscribe([topic])

    def poll(self, max_records: int, timeout_s: float) -> Sequence[LogEntry]:
        """Return up to `max_records` next records, after at most `timeout_s`; raise `BusUnavailable`."""
        self._require_open()
        with translate_errors():
            self._finish_join()
            if self._paused:
                self._consumer.pause(*self._consumer.assignment())
            batches = self._consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=max_records)
            if batches and self._paused:  # partitions gained during this very poll
                for partition, raw in batches.items():
                    self._consumer.seek(partition, raw[0].offset)
                batches = {}
        ends: Mapping[TopicPartition, int] = {}
        if batches:
            self._answered_s = time.monotonic()
        else:
            ends = self._probe()
        self._offsets.add_starts()
        entries = [] if self._paused else [*self._entries(batches), *self._pass_stalled(ends)]
        self._offsets.commit_pending()
        return entries

    def commit(self, positions: Mapping[tuple[str, int], int]) -> None:
        """Commit the offsets to read next, per (topic, partition); raise `BusUnavailable` when nothing was."""
        self._require_open()
        self._offsets.commit({TopicPartition(*partition): offset for partition, offset in positions.items()})
        self._answered_s = time.monotonic()

    def pause(self) -> None:
        """Return no records until `resume`."""
        self._require_open()
        self._paused = True
        self._consumer.pause(*self._consumer.assignment())

    def resume(self) -> None:
        """Undo `pause`."""
        self._require_open()
        self._paused = False
        self._consumer.resume(*self._consumer.assignment())

    def seek(self, position: RecordPosition) -> None:
        """Read an assigned partition from this position on."""
        self._require_open()
        partition = TopicPartition(position.topic, position.partition)
        if partition in self._consumer.assignment():
            self._consumer.seek(partition, position.offset)
            self._offsets.moved(partition, position.offset)

    def rewind(self) -> None:
        """Return to the committed offset of every assigned partition."""
        self._require_open()
        with translate_errors():
            for partition, offset in self._offsets.committed(self._consumer.assignment()).items():
                if offset is None:
                    self._consumer.seek_to_beginning(partition)
                else:
                    self._consumer.seek(partition, offset)
        self._offsets.rewound()

    def assignment(self) -> frozenset[tuple[str, int]]:
        """Return the assigned (topic, partition) pairs."""
        if self._closed:
            return frozenset()
        return frozenset((each.topic, each.partition) for each in self._consumer.assignment())

    def lag(self) -> Mapping[tuple[str, int], int]:
        """Return the records beyond the committed offset, per assigned (topic, partition)."""
        self._require_open()
        lag = self._offsets.lag(self._consumer.assignment())
        return {(each.topic, each.partition): offsets for each, offsets in lag.items()}

    def group_lag(self) -> int:
        """Return the records beyond the committed offsets of the whole topic."""
        self._require_open()
        with translate_errors():
            known = self._consumer.partitions_for_topic(self._topic)
        if not known:
            raise BusUnavailable(f"Kafka has not reported the partitions of the topic {self._topic} yet.")
        return sum(self._offsets.lag({TopicPartition(self._topic, number) for number in known}).values())

    def close(self) -> None:
        """Leave the group without committing; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        with translate_errors():
            self._consumer.close(autocommit=False, timeout_ms=REQUEST_TIMEOUT_S * 1000)

    def _finish_join(self) -> None:
        """Give a join the time to end; kafka-python 3.0.12 mishandles one that outlasts the poll in which it began.

        A join that new topic metadata caused is forgotten, and the member stays without heartbeats forever: so it is
        requested again. The outcome of one that ends between two polls is lost: so it is waited for here.
        """
        coordinator = self._consumer._coordinator
        if coordinator.rejoining and not coordinator.need_rejoin():
            coordinator.request_rejoin()
        if coordinator.need_rejoin():
            coordinator.poll(timeout_ms=_JOIN_TIMEOUT_S * 1000)

    def _entries(self, batches: Mapping[TopicPartition, Sequence[Any]]) -> list[LogEntry]:
        """Return the entries of a poll, of each partition what was deleted before what was read."""
        passed = {} if batches else self._offsets.passed()  # before what was deleted, which the fetcher notes first
        deleted = self._consumer._fetcher.take_deleted()
        unread = [
            each._replace(begin=max(each.begin, self._offsets.known_committed(each.partition))) for each in deleted
        ]
        entries: list[LogEntry] = [_deleted_records(each) for each in unread if each.begin < each.end]
        entries += [to_entry(raw) for batch in batches.values() for raw in batch]
        self._offsets.delivered(entries)
        skipped = {each.partition for each in deleted}
        self._offsets.add_passed({each: offset for each, offset in passed.items() if each not in skipped})
        return entries

    def _pass_stalled(self, ends: Mapping[TopicPartition, int]) -> list[LogEntry]:
        """Pass the next offset of partitions whose broker has more, and has returned nothing for long.

        Where the length of a batch is damaged on its disk, a broker finds nothing behind it and reports no error.
        """
        passed: list[LogEntry] = []
        for partition, end in ends.items():
            offset = self._consumer.position(partition, timeout_ms=0)
            if offset is None or offset >= end:
                self._attempts.succeeded(partition)
            elif self._attempts.failed(partition, offset, OUTAGE_PATIENCE_S):
                position = RecordPosition(partition.topic, partition.partition, offset)
                log.error("a record is not returned by its broker and is passed", position=str(position))
                passed.append(UnreadableRecord(position, "The record can't be read: its broker does not return it."))
                self._consumer.seek(partition, offset + 1)
        self._offsets.delivered(passed)
        return passed

    def _probe(self) -> Mapping[TopicPartition, int]:
        """Without records, query the group's coordinator and the partitions' leaders.

        Returns:
            The end of each assigned partition's log, where this asked for it and was answered.
        """
        now = time.monotonic()
        if now - max(self._answered_s, self._probed_s) < _PROBE_INTERVAL_S:
            return {}
        self._probed_s = now
        ends: dict[TopicPartition, int] = {}
        try:
            with translate_errors():
                timeout_ms = _PROBE_INTERVAL_S * 1000
                self._consumer.committed(TopicPartition(self._topic, 0), timeout_ms=timeout_ms)
                if assigned := self._consumer.assignment():
                    ends = self._consumer.end_offsets(list(assigned), timeout_ms=timeout_ms)
        except BusUnavailable as error:
            silent_s = time.monotonic() - self._answered_s
            if silent_s > self._unavailable_after_s:
                raise BusUnavailable(f"Kafka has not answered for {silent_s:.0f} s ({error.__cause__!r}).") from error
        else:
            self._answered_s = time.monotonic()
        return ends

    def _require_open(self) -> None:
        if self._closed:
            raise BusUnavailable("This consumer is closed.")
