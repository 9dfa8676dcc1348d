"""A producer on an embedded bus whose publisher can fail, and what it published."""

import os
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import REGISTRY

from ingest import schema
from ingest.bus.embedded.bus import EmbeddedBus
from ingest.bus.protocol import DeliveryCallback, Message, Publisher, Record, readable
from ingest.errors import BusUnavailable, MessageTooLarge
from ingest.frame import Frame
from ingest.producer.producer import Producer
from ingest.producer.spool import Spool
from ingest.settings import IngestSettings

AT = datetime(2026, 3, 1, tzinfo=UTC)


TOPIC = "t"


class GatedPublisher(Publisher):
    """The embedded bus's publisher behind a gate: messages are published, fail, or stay in flight."""

    def __init__(self, inner: Publisher) -> None:
        self._inner = inner
        self.failing = False
        self.holding = False
        self.held_station = ""
        self.max_message_bytes = 1 << 40
        self.held: list[tuple[Message, DeliveryCallback]] = []
        self.failed = threading.Event()

    def publish(self, message: Message, on_delivery: DeliveryCallback) -> None:
        if message.size_bytes > self.max_message_bytes:
            raise MessageTooLarge("over the gate's limit")
        if self.holding or message.key == self.held_station:
            self.held.append((message, on_delivery))
        elif self.failing:
            self.failed.set()
            on_delivery(None, BusUnavailable("the gate fails messages"))
        else:
            self._inner.publish(message, on_delivery)

    def deliver_held(self) -> None:
        self.holding = False
        held, self.held = self.held, []
        for message, on_delivery in held:
            self._inner.publish(message, on_delivery)

    def fail_held(self) -> None:
        self.holding, self.failing = False, True
        for _, on_delivery in self.held:
            on_delivery(None, BusUnavailable("no answer in time"))
        self.held = []

    def flush(self, timeout_s: float) -> None:
        self._inner.flush(timeout_s)

    def close(self) -> None:
        self._inner.close()


class MemoryClaimChecks:
    """A claim-check store in memory."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.unavailable = False

    def put(self, data: bytes) -> str:
        if self.unavailable:
            raise OSError("the store is unavailable")
        reference = f"sha256:{len(self.stored)}"
        self.stored[reference] = data
        return reference


@dataclass
class ProducerHarness:
    """A producer on an embedded bus, and the frames that it reported as durable."""

    path: Path
    settings: IngestSettings
    claim_checks: MemoryClaimChecks = field(default_factory=MemoryClaimChecks)
    durable: list[Frame] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bus = EmbeddedBus(self.settings)
        self.start()

    def start(self) -> None:
        self.gate = GatedPublisher(self.bus.publisher(TOPIC))
        self.spool = Spool(self.settings.spool_path, self.settings.max_spool_bytes)
        self.producer = Producer(self.gate, self.settings, self.spool, self.claim_checks, lambda: AT)

    def send(self, *names: str, size_bytes: int = 20) -> None:
        """Send a frame for each part id, such as s1-7: station and number."""
        for part_id in names:
            image = part_id.encode().ljust(size_bytes, b".")
            self.producer.send(
                Frame(part_id.split("-")[0], AT, image, "image/png", part_id=part_id), self.durable.append
            )

    def durable_part_ids(self) -> list[str | None]:
        return [frame.part_id for frame in self.durable]

    def records(self) -> list[Record]:
        with closing(self.bus.consumer(TOPIC, f"reader-{os.urandom(4).hex()}")) as consumer:
            records: list[Record] = []
            while more := consumer.poll(10_000, 0):
                records += readable(more)
        return records

    def published_part_ids(self, station: str) -> list[str]:
        """Return the part ids on the bus in order, each at its first occurrence."""
        frames = [schema.decode(record) for record in self.records() if record.key == station]
        return list(dict.fromkeys(frame.part_id or "" for frame in frames))


OpenHarness = Callable[..., ProducerHarness]


def dropped_frames(station: str, reason: str) -> float:
    labels = {"station": station, "reason": reason}
    return REGISTRY.get_sample_value("andon_frames_dropped_total", labels) or 0.0


def published_frames(station: str) -> float:
    return REGISTRY.get_sample_value("andon_frames_published_total", {"station": station}) or 0.0


def part_ids(station: str, *numbers: int) -> list[str]:
    return [f"{station}-{number}" for number in numbers]
