"""The bus on Apache Kafka, through kafka-python (ADR 0002)."""

import threading
import time
from contextlib import closing
from typing import Any

import structlog
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors

from ingest.bus.kafka.connection import MAX_REQUEST_BYTES, KafkaConnection
from ingest.bus.kafka.consumer import FETCH_CONFIG, KafkaGroupConsumer, to_entry
from ingest.bus.kafka.errors import translate_errors
from ingest.bus.kafka.fetcher import install_resilient_fetcher
from ingest.bus.kafka.publisher import KafkaPublisher
from ingest.bus.protocol import Record, RecordPosition, UnreadableRecord
from ingest.errors import BusUnavailable
from ingest.settings import IngestSettings

_READ_TIMEOUT_S = 10.0

log = structlog.get_logger()


class KafkaBus:
    """Implements `ingest.bus.protocol.Bus`; connects on first use."""

    def __init__(self, settings: IngestSettings) -> None:
        """Raise `BusMisconfigured` for settings that can't work, whatever the brokers answer."""
        install_resilient_fetcher()
        self._settings = settings
        self._connection = KafkaConnection(settings)
        self._ensured: set[str] = set()
        self._reader: Any = None
        self._reading = threading.Lock()

    def ensure_topic(self, topic: str, partitions: int) -> None:
        """Create the topic unless it exists; an existing one stays as it is."""
        if topic in self._ensured:
            return
        replication = self._settings.kafka_replication_factor
        topic_settings = {
            "num_partitions": partitions,
            "replication_factor": replication,
            "configs": {
                "max.message.bytes": str(MAX_REQUEST_BYTES),
                "min.insync.replicas": "2" if replication >= 3 else "1",
                "cleanup.policy": "delete",
            },
        }
        with closing(self._connection.open(KafkaAdminClient)) as admin, translate_errors():
            exists = any(found["error_code"] == 0 for found in admin.describe_topics([topic]))
            if not exists:  # looked up first, because a user of a topic often may not create one
                try:
                    admin.create_topics({topic: topic_settings}, wait_for_metadata=True)
                    log.info("topic created", topic=topic, partitions=partitions, replication=replication)
                except kafka_errors.TopicAlreadyExistsError:
                    admin.wait_for_topics([topic])
        self._ensured.add(topic)

    def publisher(self, topic: str) -> KafkaPublisher:
        """Return a publisher on `topic`."""
        return KafkaPublisher(
            self._connection, self._settings, topic, lambda: self.ensure_topic(topic, self._settings.partitions)
        )

    def consumer(self, topic: str, group: str) -> KafkaGroupConsumer:
        """Join `group` on `topic`; a group without a committed position starts at the oldest record."""
        self.ensure_topic(topic, self._settings.partitions)
        return KafkaGroupConsumer(self._connection, self._settings, topic, group)

    def read(self, position: RecordPosition) -> Record | UnreadableRecord | None:
        """Return the record at exactly this position, or None when it is no longer retained."""
        with self._reading, translate_errors():
            if self._reader is None:
                self._reader = self._connection.open(
                    KafkaConsumer,
                    group_id=None,
                    enable_auto_commit=False,
                    allow_auto_create_topics=False,
                    **FETCH_CONFIG,
                )
            return self._read(self._reader, position)

    def close(self) -> None:
        """Close the connection that `read` uses."""
        with self._reading:
            if self._reader is not None:
                self._reader.close(autocommit=False)
                self._reader = None

    def _read(self, reader: Any, position: RecordPosition) -> Record | UnreadableRecord | None:
        partition = TopicPartition(position.topic, position.partition)
        if position.offset < 0 or position.partition not in reader.partitions_for_topic(position.topic):
            return None
        timeout_ms = _READ_TIMEOUT_S * 1000
        start = reader.beginning_offsets([partition], timeout_ms=timeout_ms)[partition]
        end = reader.end_offsets([partition], timeout_ms=timeout_ms)[partition]
        if not start <= position.offset < end:
            return None
        reader.assign([partition])
        reader.seek(partition, position.offset)
        try:
            deadline = time.monotonic() + _READ_TIMEOUT_S
            while time.monotonic() < deadline:
                for raw in reader.poll(timeout_ms=1000, max_records=1).get(partition, ()):
                    return to_entry(raw) if raw.offset == position.offset else None
                if reader.position(partition, timeout_ms=1000) > position.offset:  # no record, or of an aborted one
                    return None
        finally:
            reader.assign([])
        raise BusUnavailable(
            f"Kafka did not return {position.topic}/{position.partition}/{position.offset} in {_READ_TIMEOUT_S:g} s."
        )
