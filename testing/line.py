"""A whole line in a folder, of real parts: embedded bus or Kafka, SQLite or PostgreSQL, images, and workers on them."""

import io
import threading
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
from PIL import Image

from ingest import schema
from ingest.bus.protocol import Message
from ingest.bus.registry import open_bus
from ingest.frame import Frame, mint_frame_id
from ingest.settings import IngestSettings
from scorer.settings import ScorerSettings
from scorer.worker.loop import ScoringWorker
from scorer.worker.progress import Progress
from storage.blobs.image_store import ImageStore
from storage.database.engine import Database
from storage.line import dead_letters, normal_sets, parked_frames, stations, verdicts
from storage.line.dead_letters import DeadLetter
from storage.line.normal_sets import NormalImage, NormalSet
from storage.line.stations import StationSettings
from storage.line.verdicts import Verdict

TOPIC = "andon.frames"
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PATIENCE_S = 60.0


def part(number: int, defect: bool = False, size: tuple[int, int] = (64, 64)) -> np.ndarray:
    """A striped part under a noisy camera; a defect is a dark blot. The same number gives the same picture."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    grey = 128 + 50 * np.sin(columns / 3) + np.random.default_rng(number).normal(0, 3, size)
    if defect:
        grey[((rows - size[0] / 2) ** 2 + (columns - size[1] / 2) ** 2) < 100] = 10
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def encoded(picture: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    """A picture as bytes."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()


@dataclass(frozen=True)
class Services:
    """What a line uses beside its folder; nothing by default."""

    kafka: str | None = None
    database_url: str | None = None
    topic: str = TOPIC
    kafka_replication_factor: int = 1
    kafka_unavailable_after_s: float = 15
    database_patience_s: float = 10


class Line:
    """All that is no service lies under one folder, so that another process can open the same line."""

    def __init__(self, folder: Path, services: Services = Services(), **scorer: object) -> None:
        self.folder = folder
        self.services = services
        self.topic = services.topic
        self.ingest = IngestSettings(
            bus="kafka" if services.kafka else "embedded",
            embedded_path=folder / "bus.sqlite",
            spool_path=folder / "spool",
            kafka_bootstrap_servers=services.kafka or "localhost:9092",
            kafka_unavailable_after_s=services.kafka_unavailable_after_s,
            kafka_replication_factor=services.kafka_replication_factor,
            partitions=3,
            lease_s=2,
        )
        self.bus = open_bus(self.ingest)
        self.bus.ensure_topic(self.topic, 3)
        self.database_url = services.database_url or f"sqlite:///{folder / 'andon.sqlite'}"
        self.database = Database(self.database_url, lock_timeout_s=services.database_patience_s)
        self.database.upgrade()
        self.images = ImageStore(str(folder / "images"))
        self.settings = settings(folder, **{"group": f"scorers-of-{self.topic}"} | scorer)
        self.published = 0

    def close(self) -> None:
        """Let go of bus and database."""
        self.bus.close()
        self.database.close()

    def station(self, name: str, **wanted: object) -> int:
        with self.database.begin() as session:
            return stations.add(session, name, StationSettings(**{"sample_one_in": 0} | wanted), START).id

    def normals(self, name: str, first: int = 1000, count: int = 4, activate: bool = True) -> NormalSet:
        images = [NormalImage(self.images.put(encoded(part(first + one))), f"{one}.png") for one in range(count)]
        with self.database.begin() as session:
            station = stations.get(session, name)
            made = normal_sets.add(session, station.id, images, "", START)
            return normal_sets.activate(session, station.id, made.version, START) if activate else made

    def activate(self, made: NormalSet) -> None:
        with self.database.begin() as session:
            normal_sets.activate(session, made.station_id, made.version, START)

    def frames(self, station: str, count: int, defect: Callable[[int], bool] = lambda _: False) -> list[UUID]:
        """Publish pictures of parts numbered from 0."""
        images = [encoded(part(number, defect(number))) for number in range(count)]
        return self.publish(station, images)

    def publish(self, station: str, images: Sequence[bytes], content_type: str = "image/png") -> list[UUID]:
        messages, ids = [], []
        for image in images:
            self.published += 1
            frame = Frame(station, START + timedelta(seconds=self.published), image, content_type)
            ids.append(mint_frame_id(frame))
            messages.append(schema.encode(frame, ids[-1], START, None))
        self.send(messages)
        return ids

    def send(self, messages: Sequence[Message]) -> None:
        publisher = self.bus.publisher(self.topic)
        failures: list[Exception] = []
        for message in messages:
            publisher.publish(message, lambda _, error: failures.append(error) if error else None)
        publisher.flush(PATIENCE_S)
        publisher.close()
        assert failures == []

    def worker(self, name: str = "w1", **parts: object) -> ScoringWorker:
        return ScoringWorker(self.bus, self.database, self.images, self.settings, self.topic, name, **parts)

    def drain(self, **parts: object) -> Progress:
        """Work until nothing is left."""
        return self.worker(**parts).run(threading.Event(), drain=True, progress=lambda _: None)

    def verdicts(self, station: str | None = None) -> list[Verdict]:
        """Oldest capture first."""
        with self.database.read() as session:
            wanted = None if station is None else stations.get(session, station).id
            return verdicts.recent(session, wanted, limit=100_000)[::-1]

    def letters(self) -> list[DeadLetter]:
        with self.database.read() as session:
            return dead_letters.recent(session, limit=1000)[::-1]

    def parked(self) -> int:
        with self.database.read() as session:
            return parked_frames.count(session)


def settings(folder: Path, **wanted: object) -> ScorerSettings:
    chosen: dict[str, object] = {
        "references_path": folder / "references",
        "batch_frames": 8,
        "device": "cpu",
        "engine": "torch",
        "backbone": "filterbank",  # the quickest
        "torch_threads": 1,
        "retry_backoff_s": 0.01,
        "retry_backoff_max_s": 0.05,
        "change_poll_interval_s": 0.05,
        "heartbeat_interval_s": 0.2,
        "poll_timeout_s": 0.05,
    }
    return ScorerSettings(**(chosen | wanted))


class Counted:
    """A progress callback that others can wait on; what is waited for may rest on several that share a condition."""

    def __init__(self, changed: threading.Condition | None = None) -> None:
        self.latest = Progress()
        self._changed = changed or threading.Condition()

    def __call__(self, progress: Progress) -> None:
        with self._changed:
            self.latest = progress
            self._changed.notify_all()

    def wait_for(self, enough: Callable[[Progress], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: enough(self.latest), PATIENCE_S), self.latest


@contextmanager
def working(worker: ScoringWorker, changed: threading.Condition | None = None):
    """A worker in a thread; give its progress, and stop it in the end. What it raised is raised here."""
    stop, counted = threading.Event(), Counted(changed)
    failed: list[BaseException] = []

    def run() -> None:
        try:
            worker.run(stop, drain=False, progress=counted)
        except BaseException as error:  # noqa: BLE001  handed to the test's thread
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield counted
    finally:
        stop.set()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    if failed:
        raise failed[0]
