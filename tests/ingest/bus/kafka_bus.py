"""What tests do with a bus on a real Kafka."""

import socket
import time
from contextlib import closing
from datetime import UTC, datetime
from functools import partial

from ingest.bus.kafka.bus import KafkaBus
from ingest.bus.protocol import Consumer, Message, Record, RecordPosition, readable
from ingest.settings import IngestSettings

AT = datetime(2026, 3, 1, tzinfo=UTC)


def kafka_settings(bootstrap: str, **changed: object) -> IngestSettings:
    return IngestSettings.model_validate(
        {"bus": "kafka", "kafka_bootstrap_servers": bootstrap, "partitions": 3} | changed
    )


def publish(bus: KafkaBus, topic: str, *messages: Message) -> list[RecordPosition | Exception | None]:
    """Publish and wait; return each message's position or error."""
    outcomes: dict[int, RecordPosition | Exception | None] = {}

    def on_delivery(index: int, position: RecordPosition | None, error: Exception | None) -> None:
        outcomes[index] = position or error

    with closing(bus.publisher(topic)) as publisher:
        for index, message in enumerate(messages):
            publisher.publish(message, partial(on_delivery, index))
        publisher.flush(30)
    return [outcomes[index] for index in range(len(messages))]


def read(consumer: Consumer, count: int, *, at_least: bool = False) -> list[Record]:
    records: list[Record] = []
    deadline = time.monotonic() + 40
    while len(records) < count and time.monotonic() < deadline:
        records += readable(consumer.poll(100, 0.2))
    assert len(records) >= count if at_least else len(records) == count
    return records


def unused_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"
