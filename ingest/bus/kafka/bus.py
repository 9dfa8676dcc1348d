"""The bus on Apache Kafka, by kafka-python (ADR 0002)."""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import structlog
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka import errors as kafka_errors

from ingest.bus.kafka.connection import KafkaConnection, translate_error, translate_errors
from ingest.bus.kafka.consumer import FETCH_CONFIG, KafkaGroupConsumer, to_record
from ingest.bus.kafka.lenient_headers import install_lenient_batches
from ingest.bus.protocol import MAX_MESSAGE_BYTES, DeliveryCallback, Message, Record, RecordPosition
from ingest.errors import BusMisconfigured, BusUnavailable, MessageTooLarge
from ingest.settings import IngestSettings

_AROUND_A_MESSAGE_BYTES = 100_000  # what Kafka's format adds, generously
_READ_WITHIN_S = 10.0

log = structlog.get_logger()


class KafkaBus:
    """Keeps the contract of `ingest.bus.protocol.Bus`; connects at first use."""

    def __init__(self, settings: IngestSettings) -> None:
        install_lenient_batches()
        self._settings = settings
        self._connection = KafkaConnection(settings)
        self._ensured: set[str] = set()
        self._reader: Any = None
        self._reading = threading.Lock()

    def ensure_topic(self, topic: str, partitions: int) -> None:
        if topic in self._ensured:
            return
        replication = self._settings.kafka_replication_factor
        wanted = {
            "num_partitions": partitions,
            "replication_factor": replication,
            "configs": {
                "max.message.bytes": str(MAX_MESSAGE_BYTES + _AROUND_A_MESSAGE_BYTES),
                "min.insync.replicas": "2" if replication >= 3 else "1",
                "cleanup.policy": "delete",
            },
        }
        with closing(self._connection.open(KafkaAdminClient)) as admin, translate_errors():
            there = any(found["error_code"] == 0 for found in admin.describe_topics([topic]))
            if not there:  # asked first: who may use a topic often may not make one
                try:
                    admin.create_topics({topic: wanted}, wait_for_metadata=True)
                    log.info("topic made", topic=topic, partitions=partitions, replication=replication)
                except kafka_errors.TopicAlreadyExistsError:
                    admin.wait_for_topics([topic])
        self._ensured.add(topic)

    def publisher(self, topic: str) -> "KafkaPublisher":
        return KafkaPublisher(
            self._connection, self._settings, topic, lambda: self.ensure_topic(topic, self._settings.partitions)
        )

    def consumer(self, topic: str, group: str) -> KafkaGroupConsumer:
        self.ensure_topic(topic, self._settings.partitions)
        return KafkaGroupConsumer(self._connection, self._settings, topic, group)

    def read(self, position: RecordPosition) -> Record | None:
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
        with self._reading:
            if self._reader is not None:
                self._reader.close(autocommit=False)
                self._reader = None

    def _read(self, reader: Any, position: RecordPosition) -> Record | None:
        partition = TopicPartition(position.topic, position.partition)
        if position.offset < 0 or position.partition not in reader.partitions_for_topic(position.topic):
            return None
        within_ms = _READ_WITHIN_S * 1000
        start = reader.beginning_offsets([partition], timeout_ms=within_ms)[partition]
        end = reader.end_offsets([partition], timeout_ms=within_ms)[partition]
        if not start <= position.offset < end:
            return None
        reader.assign([partition])
        reader.seek(partition, position.offset)
        try:
            deadline = time.monotonic() + _READ_WITHIN_S
            while time.monotonic() < deadline:
                for raw in reader.poll(timeout_ms=1000, max_records=1).get(partition, ()):
                    return to_record(raw) if raw.offset == position.offset else None
        finally:
            reader.assign([])
        raise BusUnavailable(
            f"Kafka did not give {position.topic}/{position.partition}/{position.offset} in {_READ_WITHIN_S} s"
        )


class KafkaPublisher:
    """Hands messages to kafka-python's producer; after a failure a new one is made, with nothing left over in it."""

    def __init__(
        self, connection: KafkaConnection, settings: IngestSettings, topic: str, ensure_topic: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._away_after_s = settings.kafka_unavailable_after_s
        self._topic = topic
        self._ensure_topic = ensure_topic
        self._producer: Any = None
        self._spoilt: Any = None  # a producer in which something has failed
        self._closed = False
        self._outstanding = 0
        self._settled = threading.Condition()
        self._handing_over = threading.Lock()

    def publish(self, message: Message, on_delivery: DeliveryCallback) -> None:
        if message.size_bytes > MAX_MESSAGE_BYTES:
            raise MessageTooLarge(
                f"a message of {message.size_bytes} bytes is over the bus's limit of {MAX_MESSAGE_BYTES}"
            )
        with self._handing_over:
            if self._closed:
                raise BusUnavailable("this publisher is closed")
            producer = self._connected()
            with self._settled:
                self._outstanding += 1
            try:
                with translate_errors():
                    future = producer.send(
                        self._topic,
                        key=message.key.encode("utf-8", "backslashreplace"),
                        value=message.value,
                        headers=list(message.headers),
                    )
            except (BusUnavailable, BusMisconfigured):
                self._settle_one()
                raise
        future.add_callback(lambda written: self._succeeded(written, on_delivery))
        future.add_errback(lambda error: self._failed(producer, error, on_delivery))

    def flush(self, timeout_s: float) -> None:
        with self._settled:
            if not self._settled.wait_for(lambda: self._outstanding == 0, timeout_s):
                raise BusUnavailable(f"{self._outstanding} messages are not acknowledged after {timeout_s:g} s")

    def close(self) -> None:
        with self._handing_over:
            self._closed = True
            producer, self._producer = self._producer, None
        if producer is not None:
            _close(producer, self._away_after_s)

    def _connected(self) -> Any:
        if self._producer is not None and self._producer is self._spoilt:
            producer, self._producer = self._producer, None
            _close(producer, 0)
        if self._producer is None:
            self._ensure_topic()
            self._producer = self._connection.open(
                KafkaProducer,
                acks="all",
                enable_idempotence=True,
                delivery_timeout_ms=int(self._away_after_s * 1000),
                max_block_ms=5000,
                max_request_size=MAX_MESSAGE_BYTES + _AROUND_A_MESSAGE_BYTES,
                batch_size=0,  # an image is a batch by itself; and a refusal then names the one that is refused
                allow_auto_create_topics=False,
            )
        return self._producer

    def _succeeded(self, written: Any, on_delivery: DeliveryCallback) -> None:
        on_delivery(RecordPosition(written.topic, written.partition, written.offset), None)
        self._settle_one()

    def _failed(self, producer: Any, error: Exception, on_delivery: DeliveryCallback) -> None:
        """After its first failure kafka-python may give up whatever else it holds, with that same error."""
        said = translate_error(error)
        if isinstance(said, MessageTooLarge) and producer is self._spoilt:
            said = BusUnavailable("Kafka's client gave this message up together with one that was too large")
        self._spoilt = producer
        said.__cause__ = error
        on_delivery(None, said)
        self._settle_one()

    def _settle_one(self) -> None:
        with self._settled:
            self._outstanding -= 1
            self._settled.notify_all()


def _close(producer: Any, timeout_s: float) -> None:
    """Close kafka-python's producer for certain: its own close gives up, threads running, when a flush times out."""
    try:
        producer.close(timeout=timeout_s)
    except kafka_errors.KafkaTimeoutError:
        producer._sender.force_close()
        producer._sender.join(5.0)
        producer._closed = True
