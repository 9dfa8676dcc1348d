"""A whole line in a folder, of real services: bus, database, image store, and scoring workers on them."""

import io
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from PIL import Image

from foundation.clock import Clock, utc_now
from imaging.rgb import RgbImage
from ingest import schema
from ingest.bus.protocol import Message
from ingest.bus.registry import open_bus
from ingest.frame import Frame, mint_frame_id
from ingest.settings import IngestSettings
from scorer.detectors import registry
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
from testing.migrated_database import create_sqlite

TOPIC = "andon.frames"
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PATIENCE_S = 60.0

WaitFor = Callable[[threading.Event, float], bool]


def part(number: int, defect: bool = False, size: tuple[int, int] = (64, 64)) -> RgbImage:
    """Return an image of a striped part under a noisy camera, (height, width, 3) uint8.

    A defect is a dark blot. The same number gives the same image.
    """
    rows, columns = np.mgrid[: size[0], : size[1]]
    grey = 128 + 50 * np.sin(columns / 3) + np.random.default_rng(number).normal(0, 3, size)
    if defect:
        grey[((rows - size[0] / 2) ** 2 + (columns - size[1] / 2) ** 2) < 100] = 10
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def encoded(image: RgbImage, kind: str = "PNG", **options: Any) -> bytes:
    """Return an image as bytes of a format that Pillow writes."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


@dataclass(frozen=True)
class Services:
    """The services that a line uses beside its folder; none by default."""

    kafka: str | None = None
    database_url: str | None = None
    topic: str = TOPIC
    kafka_replication_factor: int = 1
    kafka_unavailable_after_s: float = 15
    database_patience_s: float = 10


class Line:
    """A line whose bus, database and images are under one folder, so that another process can open the same line."""

    def __init__(self, folder: Path, services: Services = Services(), **settings: object) -> None:
        """Open a line; `settings` are those of the scorer that differ from `scorer_settings`."""
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
        self.database_url = services.database_url or create_sqlite(folder / "andon.sqlite")
        self.database = Database(self.database_url, lock_timeout_s=services.database_patience_s)
        self.database.upgrade()
        self.images = ImageStore(str(folder / "images"))
        self.settings = scorer_settings(folder, **{"group": f"scorers-of-{self.topic}"} | settings)
        self.published = 0

    def close(self) -> None:
        """Close bus and database."""
        self.bus.close()
        self.database.close()

    def add_station(self, name: str, **settings: Any) -> int:
        """Add a station, of which no frame is drawn for review, and return its id."""
        with self.database.begin() as session:
            return stations.add(session, name, replace(StationSettings(sample_one_in=0), **settings), START).id

    def add_normal_set(self, name: str, first: int = 1000, count: int = 4, activate: bool = True) -> NormalSet:
        """Give a station a normal set of parts that are numbered from `first`, and activate it."""
        images = [NormalImage(self.images.put(encoded(part(first + index))), f"{index}.png") for index in range(count)]
        with self.database.begin() as session:
            station = stations.get(session, name)
            normal_set = normal_sets.add(session, station.id, images, "", START)
            return normal_sets.activate(session, station.id, normal_set.version, START) if activate else normal_set

    def activate(self, normal_set: NormalSet) -> None:
        """Activate a normal set."""
        with self.database.begin() as session:
            normal_sets.activate(session, normal_set.station_id, normal_set.version, START)

    def publish_parts(self, station: str, count: int, defect: Callable[[int], bool] = lambda _: False) -> list[UUID]:
        """Publish images of parts that are numbered from 0, and return their frame ids."""
        images = [encoded(part(number, defect(number))) for number in range(count)]
        return self.publish(station, images)

    def publish(self, station: str, images: Sequence[bytes], content_type: str = "image/png") -> list[UUID]:
        """Publish images, each as it is captured, a second apart, and return their frame ids."""
        messages, ids = [], []
        for image in images:
            self.published += 1
            frame = Frame(station, START + timedelta(seconds=self.published), image, content_type)
            ids.append(mint_frame_id(frame))
            messages.append(schema.encode(frame, ids[-1], frame.captured_at, None))
        self.publish_messages(messages)
        return ids

    def publish_messages(self, messages: Sequence[Message]) -> None:
        """Publish messages as they are, and wait until the bus has them."""
        publisher = self.bus.publisher(self.topic)
        failures: list[Exception] = []
        for message in messages:
            publisher.publish(message, lambda _, error: failures.append(error) if error else None)
        publisher.flush(PATIENCE_S)
        publisher.close()
        assert failures == []

    def worker(
        self,
        name: str = "w1",
        clock: Clock = utc_now,
        wait_for: WaitFor = threading.Event.wait,
        load: registry.LoadDetector = registry.load,
    ) -> ScoringWorker:
        """Return a worker on this line, which runs once its `run` is called."""
        return ScoringWorker(
            self.bus, self.database, self.images, self.settings, self.topic, name, clock, wait_for, load
        )

    def drain(self, load: registry.LoadDetector = registry.load) -> Progress:
        """Work until nothing is left, and return the counts."""
        return self.worker(load=load).run(threading.Event(), drain=True, progress=lambda _: None)

    def verdicts(self, station: str | None = None) -> list[Verdict]:
        """Return verdicts, of one station or of all, the oldest capture first."""
        with self.database.read() as session:
            station_id = None if station is None else stations.get(session, station).id
            return verdicts.recent(session, station_id, limit=100_000)[::-1]

    def dead_letters(self) -> list[DeadLetter]:
        """Return the dead letters, the oldest first."""
        with self.database.read() as session:
            return dead_letters.recent(session, limit=1000)[::-1]

    def parked_count(self) -> int:
        """Return the number of parked frames."""
        with self.database.read() as session:
            return parked_frames.count(session)


def copied(folder: Path, target: Path) -> Line:
    """Return a line in `target` with a copy of the database of another line, which is closed, and with its images."""
    for name in ("andon.sqlite", "andon.sqlite-wal"):
        if (folder / name).exists():
            (target / name).write_bytes((folder / name).read_bytes())
    for name in ("images", "references"):
        (target / name).symlink_to(folder / name)
    return Line(target)


def scorer_settings(folder: Path, **settings: object) -> ScorerSettings:
    """Return settings of a scorer that is quick and retries at once, with these settings changed."""
    defaults: dict[str, object] = {
        "references_path": folder / "references",
        "batch_frames": 8,
        "device": "cpu",
        "engine": "torch",
        "backbone": "filterbank",  # the fastest
        "torch_threads": 1,
        "retry_backoff_s": 0.01,
        "retry_backoff_max_s": 0.05,
        "change_poll_interval_s": 0.05,
        "heartbeat_interval_s": 0.2,
        "poll_timeout_s": 0.05,
    }
    return ScorerSettings.model_validate(defaults | settings)


class ProgressWaiter:
    """A progress callback that a test waits on; waiters that share a condition can be waited for together."""

    def __init__(self, changed: threading.Condition | None = None) -> None:
        """Start with no progress."""
        self.latest = Progress()
        self._changed = changed or threading.Condition()

    def __call__(self, progress: Progress) -> None:
        """Take note of the progress."""
        with self._changed:
            self.latest = progress
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[Progress], bool]) -> None:
        """Wait until the progress meets `condition`; fail after `PATIENCE_S`."""
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self.latest), PATIENCE_S), self.latest


@contextmanager
def running(worker: ScoringWorker, changed: threading.Condition | None = None) -> Iterator[ProgressWaiter]:
    """Run a worker in a thread for the block, and stop it at its end; an error of the worker is raised here."""
    stop, progress = threading.Event(), ProgressWaiter(changed)
    failed: list[BaseException] = []

    def run() -> None:
        try:
            worker.run(stop, drain=False, progress=progress)
        except BaseException as error:  # noqa: BLE001  handed to the test's thread
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield progress
    finally:
        stop.set()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    if failed:
        raise failed[0]
