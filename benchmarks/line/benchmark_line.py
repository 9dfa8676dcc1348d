"""A whole line for benchmarks, of the product's own parts: bus, database and images in a temporary folder."""

import io
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from benchmarks.line.timed_bus import TimedBus
from foundation.clock import utc_now
from ingest import schema
from ingest.bus.protocol import Bus, Message
from ingest.bus.registry import open_bus
from ingest.frame import Frame, mint_frame_id
from ingest.settings import IngestSettings
from scorer.backbones import clip_architecture, clip_loader
from scorer.backbones.weights.import_openclip import ImportOptions, import_file
from scorer.backbones.weights.store import WeightsStore
from scorer.detectors import registry
from scorer.settings import ScorerSettings
from scorer.worker.loop import ScoringWorker
from storage.blobs.image_store import ImageStore
from storage.database.engine import Database
from storage.line import normal_sets, stations, verdicts
from storage.line.normal_sets import NormalImage
from storage.line.stations import StationSettings

FRAME_BYTES = 200_000
FRAME_SHAPE = (960, 1280)
MAX_UNFLUSHED_BYTES = 64_000_000


def render_jpeg(number: int, frame_bytes: int = FRAME_BYTES, shape: tuple[int, int] = FRAME_SHAPE) -> bytes:
    """Return a synthetic photograph as a JPEG of about `frame_bytes`: soft shapes, with noise that sets the size."""
    generator = np.random.default_rng(number)
    coarse = generator.uniform(40, 220, (12, 16, 3))
    soft = Image.fromarray(coarse.astype(np.uint8)).resize(shape[::-1], Image.Resampling.BICUBIC)
    grain = generator.normal(0, 1, shape)[:, :, None]
    low, high = 0.0, 40.0
    encoded = b""
    for _ in range(12):
        strength = (low + high) / 2
        pixels = np.clip(np.asarray(soft) + strength * grain, 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=85)
        encoded = buffer.getvalue()
        if abs(len(encoded) - frame_bytes) < 0.02 * frame_bytes:
            break
        low, high = (strength, high) if len(encoded) < frame_bytes else (low, strength)
    return encoded


def with_unique_content(jpeg: bytes, number: int) -> bytes:
    """Return the same image as another file for every number below 2 ** 20, so that image and map are stored again.

    The bits of `number` change the last entries of the quantisation table, those of the highest frequencies.
    """
    table = jpeg.index(b"\xff\xdb") + 5  # after the marker, the length and the table's number
    entries = [value + (number >> bit & 1) for bit, value in enumerate(jpeg[table + 44 : table + 64])]
    return jpeg[: table + 44] + bytes(entries) + jpeg[table + 64 :]


@dataclass(frozen=True)
class BenchmarkLine:
    """A line that stations are added to, frames are published to, and a worker drains."""

    bus: Bus
    database: Database
    images: ImageStore
    settings: ScorerSettings
    ingest: IngestSettings
    topic: str

    def add_station(self, name: str, normals: Sequence[bytes]) -> None:
        """Add a station with an active normal set of these JPEGs."""
        now = utc_now()
        images = [NormalImage(self.images.put(data), f"{number}.jpg") for number, data in enumerate(normals)]
        with self.database.begin() as session:
            station = stations.add(session, name, StationSettings(), now)
            normal_set = normal_sets.add(session, station.id, images, "", now)
            normal_sets.activate(session, station.id, normal_set.version, now)

    def publish(self, frames: Sequence[tuple[str, bytes]]) -> None:
        """Publish pairs of station and JPEG; all of them are durable when this returns."""
        failures: list[Exception] = []
        unflushed = 0
        with closing(self.bus.publisher(self.topic)) as publisher:
            for station, image in frames:
                publisher.publish(
                    encode_message(station, image), lambda _, error: failures.append(error) if error else None
                )
                unflushed += len(image)
                if unflushed > MAX_UNFLUSHED_BYTES:
                    publisher.flush(120)
                    unflushed = 0
            publisher.flush(120)
        if failures:
            raise failures[0]

    def worker(self, load: registry.LoadDetector = registry.load) -> ScoringWorker:
        """Return a new worker of this line."""
        return ScoringWorker(self.bus, self.database, self.images, self.settings, self.topic, "benchmark", load=load)

    def drain(self) -> float:
        """Score all frames on the bus; return the seconds from the first frame read to the last verdict committed."""
        timed_bus = TimedBus(self.bus)
        replace(self, bus=timed_bus).worker().run(threading.Event(), drain=True, progress=lambda _: None)
        return timed_bus.took_s

    def count_verdicts(self) -> int:
        """Return the number of verdicts in the database."""
        with self.database.read() as session:
            return verdicts.count(session)


def encode_message(station: str, image: bytes) -> Message:
    """Return the message of a frame captured now."""
    frame = Frame(station, utc_now(), image, "image/jpeg")
    return schema.encode(frame, mint_frame_id(frame), utc_now(), None)


@contextmanager
def benchmark_line(bus: str, bootstrap: str, scorer: ScorerSettings, folder: Path = Path()) -> Iterator[BenchmarkLine]:
    """Yield a new line in a temporary folder under `folder`.

    Args:
        bus: ``embedded`` or ``kafka``.
        bootstrap: Kafka's host:port; if empty, a broker is started for the line.
        scorer: The settings of its workers.
        folder: Where the temporary folder is made.
    """
    with (
        TemporaryDirectory(dir=folder, prefix=".benchmark-") as temporary,
        kafka_bootstrap(bus, bootstrap, Path(temporary)) as servers,
    ):
        ingest = IngestSettings(
            bus="kafka" if bus == "kafka" else "embedded",
            embedded_path=Path(temporary) / "bus.sqlite",
            kafka_bootstrap_servers=servers,
        )
        database = Database(f"sqlite:///{Path(temporary) / 'andon.sqlite'}")
        database.upgrade()
        settings = scorer.model_copy(update={"references_path": Path(temporary) / "references"})
        opened_bus = open_bus(ingest)
        topic = f"benchmark-{uuid.uuid4().hex}"
        opened_bus.ensure_topic(topic, ingest.partitions)
        with closing(opened_bus):
            yield BenchmarkLine(
                opened_bus, database, ImageStore(str(Path(temporary) / "images")), settings, ingest, topic
            )
        database.close()


@contextmanager
def kafka_bootstrap(bus: str, bootstrap: str, folder: Path) -> Iterator[str]:
    """Yield the host:port of a Kafka: `bootstrap`, or a broker that is started in `folder` and stopped at the end."""
    if bus != "kafka" or bootstrap:
        yield bootstrap or "localhost:9092"
        return
    from testing.services.kafka import start_kafka

    broker = start_kafka(folder / "kafka", nodes=1, heap="1g")
    try:
        yield broker.bootstrap
    finally:
        broker.stop()


@contextmanager
def random_clip_weights(settings: ScorerSettings) -> Iterator[ScorerSettings]:
    """Yield settings whose OpenCLIP backbone, if it is one, has random weights: for speed, never for scores."""
    if not settings.backbone.startswith(clip_loader.FAMILY):
        yield settings
        return
    model = settings.backbone.removeprefix(clip_loader.FAMILY)
    with TemporaryDirectory() as temporary:
        torch.manual_seed(0)
        checkpoint = Path(temporary) / "random.pt"
        torch.save(clip_architecture.build_network(clip_architecture.find_architecture(model)).state_dict(), checkpoint)
        import_file(WeightsStore(Path(temporary) / "weights"), checkpoint, ImportOptions(model, "random", None))
        checkpoint.unlink()
        yield settings.model_copy(update={"weights_path": Path(temporary) / "weights"})
