"""An embedded bus on a clock that a test sets, and what tests do with it."""

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path

from ingest.bus.embedded.bus import EmbeddedBus
from ingest.bus.embedded.consumer import EmbeddedConsumer
from ingest.bus.protocol import LogEntry, Message
from ingest.settings import IngestSettings

TOPIC = "t"


NO_ERROR: list[Exception | None] = [None]


def open_bus(path: Path, clock: Callable[[], datetime], **settings: object) -> EmbeddedBus:
    return EmbeddedBus(IngestSettings.model_validate({"embedded_path": path, "partitions": 4} | settings), clock)


def publish(bus: EmbeddedBus, *messages: Message) -> list[Exception | None]:
    """Publish and wait; return each message's error, None where it was acknowledged."""
    errors: list[Exception | None] = []
    with closing(bus.publisher(TOPIC)) as publisher:
        for message in messages:
            publisher.publish(message, lambda _, error: errors.append(error))
        publisher.flush(30)
    return errors


def image_message(station: str = "s1", size_bytes: int = 10) -> Message:
    return Message(station, os.urandom(size_bytes), ())


def commit_records(consumer: EmbeddedConsumer, records: Sequence[LogEntry]) -> None:
    consumer.commit({(TOPIC, record.position.partition): record.position.offset + 1 for record in records})


def assigned_partitions(consumer: EmbeddedConsumer) -> set[int]:
    return {partition for _, partition in consumer.assignment()}
