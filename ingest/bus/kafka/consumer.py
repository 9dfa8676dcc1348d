"""A member of a group that reads Kafka."""

import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import structlog
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from foundation.clock import from_epoch_us
from ingest.bus.kafka.connection import KafkaConnection, translate_errors
from ingest.bus.protocol import Record, RecordPosition
from ingest.errors import BusUnavailable
from ingest.settings import IngestSettings

_ASK_WITHIN_S = 5.0
_LISTEN_EVERY_S = 2.0  # in silence, how often to ask the brokers whether they are there
_BROKERS_SHORTEST_LEASE_S = 6.0  # group.min.session.timeout.ms
_LONGEST_BETWEEN_POLLS_S = 30.0  # as long as a member that vanished while joining can hold the others up
_JOIN_WITHIN_S = 3.0  # others learn of a join by their next heartbeat, every lease_s / 10

FETCH_CONFIG = {
    "max_partition_fetch_bytes": 4_000_000,  # some 20 images of a partition; a larger single one still comes
    "fetch_max_bytes": 32_000_000,  # of a broker at a time
    "fetch_max_wait_ms": 100,
    "check_crcs": True,
}

log = structlog.get_logger()


def to_record(raw: Any) -> Record:
    """A record of ours from one of kafka-python's."""
    return Record(
        position=RecordPosition(raw.topic, raw.partition, raw.offset),
        key=None if raw.key is None else bytes(raw.key).decode("utf-8", "backslashreplace"),
        value=b"" if raw.value is None else bytes(raw.value),
        headers=tuple((name, b"" if value is None else bytes(value)) for name, value in raw.headers),
        appended_at=from_epoch_us(1000 * max(raw.timestamp, 0)),
    )


class KafkaGroupConsumer:
    """Keeps the contract of `ingest.bus.protocol.Consumer`.

    kafka-python's poll gives nothing, and says nothing, when the brokers are gone; here silence is questioned, and
    `BusUnavailable` raised once no broker has answered for `kafka_unavailable_after_s`. It recovers by polling on.
    """

    def __init__(self, connection: KafkaConnection, settings: IngestSettings, topic: str, group: str) -> None:
        self._connection = connection
        self._away_after_s = settings.kafka_unavailable_after_s
        self._topic = topic
        self._paused = False
        self._closed = False
        self._owed: dict[TopicPartition, int] = {}  # commits that a rebalance kept from going through
        self._heard_at = self._asked_at = time.monotonic()
        self._consumer = connection.open(
            KafkaConsumer,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            partition_assignment_strategy=(CooperativeStickyAssignor,),
            session_timeout_ms=int(max(settings.lease_s, _BROKERS_SHORTEST_LEASE_S) * 1000),
            heartbeat_interval_ms=int(max(settings.lease_s, _BROKERS_SHORTEST_LEASE_S) * 1000 / 10),
            max_poll_interval_ms=int(max(3 * settings.lease_s, _LONGEST_BETWEEN_POLLS_S) * 1000),
            **FETCH_CONFIG,
        )
        with translate_errors():
            self._consumer.subscribe([topic])

    def poll(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        self._refuse_when_closed()
        with translate_errors():
            self._end_joining()
            if self._paused:
                self._consumer.pause(*self._consumer.assignment())
            batches = self._consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=max_records)
            if batches and self._paused:  # partitions gained during this very poll
                for partition, raw in batches.items():
                    self._consumer.seek(partition, raw[0].offset)
                batches = {}
        if batches:
            self._heard_at = time.monotonic()
        else:
            self._listen()
        self._pay_what_is_owed()
        return [to_record(raw) for batch in batches.values() for raw in batch]

    def commit(self, positions: Mapping[tuple[str, int], int]) -> None:
        self._refuse_when_closed()
        self._owed |= {TopicPartition(*where): offset for where, offset in positions.items()}
        self._pay_what_is_owed()

    def pause(self) -> None:
        self._refuse_when_closed()
        self._paused = True
        self._consumer.pause(*self._consumer.assignment())

    def resume(self) -> None:
        self._refuse_when_closed()
        self._paused = False
        self._consumer.resume(*self._consumer.assignment())

    def seek(self, position: RecordPosition) -> None:
        self._refuse_when_closed()
        partition = TopicPartition(position.topic, position.partition)
        if partition in self._consumer.assignment():
            self._consumer.seek(partition, position.offset)

    def rewind(self) -> None:
        self._refuse_when_closed()
        with translate_errors():
            for partition, offset in self._committed(self._consumer.assignment()).items():
                if offset is None:
                    self._consumer.seek_to_beginning(partition)
                else:
                    self._consumer.seek(partition, offset)

    def assignment(self) -> frozenset[tuple[str, int]]:
        if self._closed:
            return frozenset()
        return frozenset((each.topic, each.partition) for each in self._consumer.assignment())

    def lag(self) -> Mapping[tuple[str, int], int]:
        return {(each.topic, each.partition): lag for each, lag in self._lag(self._consumer.assignment()).items()}

    def group_lag(self) -> int:
        with translate_errors():
            known = self._consumer.partitions_for_topic(self._topic)
        if not known:
            raise BusUnavailable(f"Kafka does not say yet which partitions the topic {self._topic} has")
        return sum(self._lag({TopicPartition(self._topic, number) for number in known}).values())

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with translate_errors():
            self._consumer.close(autocommit=False, timeout_ms=_ASK_WITHIN_S * 1000)

    def _end_joining(self) -> None:
        """Give a join under way the time to end; kafka-python 3.0.12 mishandles one that outlasts the poll it began in.

        If new topic metadata were its cause it is forgotten, and the member stays without heartbeats for ever: so it is
        asked for again. If it ends between two polls its outcome is thrown away: so it is waited for here.
        """
        coordinator = self._consumer._coordinator
        if coordinator.rejoining and not coordinator.need_rejoin():
            coordinator.request_rejoin()
        if coordinator.need_rejoin():
            coordinator.poll(timeout_ms=_JOIN_WITHIN_S * 1000)

    def _committed(self, partitions: AbstractSet[TopicPartition]) -> dict[TopicPartition, int | None]:
        """The group's position on each, None where there is none yet."""
        return {each: self._consumer.committed(each, timeout_ms=_ASK_WITHIN_S * 1000) for each in partitions}

    def _lag(self, partitions: AbstractSet[TopicPartition]) -> dict[TopicPartition, int]:
        self._refuse_when_closed()
        with translate_errors():
            committed = self._committed(partitions)
            within_ms = _ASK_WITHIN_S * 1000
            starts = self._consumer.beginning_offsets(list(committed), timeout_ms=within_ms) if committed else {}
            ends = self._consumer.end_offsets(list(committed), timeout_ms=within_ms) if committed else {}
        return {each: ends[each] - max(offset or 0, starts[each]) for each, offset in committed.items()}

    def _pay_what_is_owed(self) -> None:
        """Commit; what a rebalance keeps from going through stays owed until the next poll, if still ours then."""
        ours = self._consumer.assignment()
        for gone in [each for each in self._owed if each not in ours]:
            log.info("a partition is another member's now; its new owner reads again", partition=gone.partition)
            del self._owed[gone]
        if not self._owed:
            return
        try:
            with translate_errors():
                self._consumer.commit(
                    {each: OffsetAndMetadata(offset, "", -1) for each, offset in self._owed.items()},
                    timeout_ms=_ASK_WITHIN_S * 1000,
                )
        except BusUnavailable as error:
            if not isinstance(error.__cause__, kafka_errors.CommitFailedError | kafka_errors.RebalanceInProgressError):
                raise
            log.info("a rebalance is under way; the commit waits for the next poll")
        else:
            self._owed = {}
            self._heard_at = time.monotonic()

    def _listen(self) -> None:
        """In silence, ask the group's coordinator and the partitions' leaders for a sign of life."""
        now = time.monotonic()
        if now - max(self._heard_at, self._asked_at) < _LISTEN_EVERY_S:
            return
        self._asked_at = now
        try:
            with translate_errors():
                within_ms = _LISTEN_EVERY_S * 1000
                self._consumer.committed(TopicPartition(self._topic, 0), timeout_ms=within_ms)
                if ours := self._consumer.assignment():
                    self._consumer.end_offsets(list(ours), timeout_ms=within_ms)
        except BusUnavailable as error:
            silent_s = time.monotonic() - self._heard_at
            if silent_s > self._away_after_s:
                raise BusUnavailable(f"no answer from Kafka for {silent_s:.0f} s ({error.__cause__!r})") from error
        else:
            self._heard_at = time.monotonic()

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise BusUnavailable("this consumer is closed")
