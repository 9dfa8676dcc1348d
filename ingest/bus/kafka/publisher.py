"""A publisher on Kafka."""

import threading
from collections.abc import Callable
from typing import Any

from kafka import KafkaProducer
from kafka import errors as kafka_errors

from ingest.bus.kafka.connection import MAX_REQUEST_BYTES, KafkaConnection
from ingest.bus.kafka.errors import translate_error, translate_errors
from ingest.bus.protocol import MAX_MESSAGE_BYTES, DeliveryCallback, Message, RecordPosition
from ingest.errors import BusMisconfigured, BusUnavailable, MessageTooLarge
from ingest.settings import IngestSettings


class KafkaPublisher:
    """Hands messages to kafka-python's producer, and replaces that producer after a failure by an empty one."""

    def __init__(
        self, connection: KafkaConnection, settings: IngestSettings, topic: str, ensure_topic: Callable[[], None]
    ) -> None:
        """Connect to nothing yet; the first `publish` does."""
        self._connection = connection
        self._unavailable_after_s = settings.kafka_unavailable_after_s
        self._topic = topic
        self._ensure_topic = ensure_topic
        self._producer: Any = None
        self._failed_producer: Any = None  # one in which a message has failed
        self._closed = False
        self._outstanding = 0
        self._settled = threading.Condition()
        self._publishing = threading.Lock()

    def publish(self, message: Message, on_delivery: DeliveryCallback) -> None:
        """Hand over a message and return; `on_delivery` gets the outcome in kafka-python's thread.

        Raises:
            MessageTooLarge: The message is over `MAX_MESSAGE_BYTES`.
            BusUnavailable: No broker can be reached, or this publisher is closed.
            BusMisconfigured: The brokers refuse permanently.
        """
        if message.size_bytes > MAX_MESSAGE_BYTES:
            raise MessageTooLarge(
                f"A message of {message.size_bytes} bytes is over the bus's limit of {MAX_MESSAGE_BYTES}."
            )
        with self._publishing:
            if self._closed:
                raise BusUnavailable("This publisher is closed.")
            producer = self._connected_producer()
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
        future.add_callback(lambda metadata: self._succeeded(metadata, on_delivery))
        future.add_errback(lambda error: self._failed(producer, error, on_delivery))

    def flush(self, timeout_s: float) -> None:
        """Wait until every message that was handed over has an outcome; raise `BusUnavailable` after `timeout_s`."""
        with self._settled:
            if not self._settled.wait_for(lambda: self._outstanding == 0, timeout_s):
                raise BusUnavailable(f"{self._outstanding} messages are not acknowledged after {timeout_s:g} s.")

    def close(self) -> None:
        """Flush what can be flushed, and close; safe to call twice."""
        with self._publishing:
            self._closed = True
            producer, self._producer = self._producer, None
        if producer is not None:
            _close(producer, self._unavailable_after_s)

    def _connected_producer(self) -> Any:
        if self._producer is not None and self._producer is self._failed_producer:
            producer, self._producer = self._producer, None
            _close(producer, 0)
        if self._producer is None:
            self._ensure_topic()
            self._producer = self._connection.open(
                KafkaProducer,
                acks="all",
                enable_idempotence=True,
                delivery_timeout_ms=int(self._unavailable_after_s * 1000),
                max_block_ms=5000,
                max_request_size=MAX_REQUEST_BYTES,
                batch_size=0,  # an image is a batch by itself; and a refusal then names the one that is refused
                allow_auto_create_topics=False,
            )
        return self._producer

    def _succeeded(self, metadata: Any, on_delivery: DeliveryCallback) -> None:
        on_delivery(RecordPosition(metadata.topic, metadata.partition, metadata.offset), None)
        self._settle_one()

    def _failed(self, producer: Any, error: Exception, on_delivery: DeliveryCallback) -> None:
        """Report a failure; after its first, kafka-python may fail all other messages with the same error."""
        translated = translate_error(error)
        if isinstance(translated, MessageTooLarge) and producer is self._failed_producer:
            translated = BusUnavailable("Kafka's client failed this message together with one that was too large.")
        self._failed_producer = producer
        translated.__cause__ = error
        on_delivery(None, translated)
        self._settle_one()

    def _settle_one(self) -> None:
        with self._settled:
            self._outstanding -= 1
            self._settled.notify_all()


def _close(producer: Any, timeout_s: float) -> None:
    """Close kafka-python's producer and end its threads: its own close leaves them running when a flush times out."""
    try:
        producer.close(timeout=timeout_s)
    except kafka_errors.KafkaTimeoutError:
        producer._sender.force_close()
        producer._sender.join(5.0)
        producer._closed = True
