"""A whole line for benchmarks, of the product's own parts, in a folder that is thrown away: bus, database, images."""

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
from scorer.backbones import clip_loader, openclip
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
    """A part under a camera as a JPEG of about `frame_bytes`: soft shapes, and a grain that sets the size."""
    draw = np.random.default_rng(number)
    coarse = draw.uniform(40, 220, (12, 16, 3))
    soft = Image.fromarray(coarse.astype(np.uint8)).resize(shape[::-1], Image.Resampling.BICUBIC)
    grain = draw.normal(0, 1, shape)[:, :, None]
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
    """The same photograph, but its own file for every number below 2 ** 20, so that image and map are kept anew.

    The bits of `number` make some of the finest waves a little stronger: the last entries of the quantisation table.
    """
    table = jpeg.index(b"\xff\xdb") + 5  # marker, length, and the table's own number come before it
    entries = [value + (number >> bit & 1) for bit, value in enumerate(jpeg[table + 44 : table + 64])]
    return jpeg[: table + 44] + bytes(entries) + jpeg[table + 64 :]


@dataclass(frozen=True)
class BenchmarkLine:
    """Stations with normal sets, and a way to send frames and to work on them."""

    bus: Bus
    database: Database
    images: ImageStore
    settings: ScorerSettings
    ingest: IngestSettings
    topic: str

    def station(self, name: str, normals: Sequence[bytes]) -> None:
        """Add one with an active normal set."""
        now = utc_now()
        kept = [NormalImage(self.images.put(data), f"{number}.jpg") for number, data in enumerate(normals)]
        with self.database.begin() as session:
            station = stations.add(session, name, StationSettings(), now)
            made = normal_sets.add(session, station.id, kept, "", now)
            normal_sets.activate(session, station.id, made.version, now)

    def publish(self, frames: Sequence[tuple[str, bytes]]) -> None:
        """Put (station, JPEG)s on the bus, all of them durable before this returns."""
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
        """A worker of this line."""
        return ScoringWorker(self.bus, self.database, self.images, self.settings, self.topic, "benchmark", load=load)

    def drain(self) -> float:
        """Work until nothing is left; seconds from the first frame read to the last verdict committed."""
        watch = TimedBus(self.bus)
        replace(self, bus=watch).worker().run(threading.Event(), drain=True, progress=lambda _: None)
        return watch.took_s

    def verdicts(self) -> int:
        """How many there are."""
        with self.database.read() as session:
            return verdicts.count(session)


def encode_message(station: str, image: bytes) -> Message:
    """A frame captured now, ready for the bus."""
    frame = Frame(station, utc_now(), image, "image/jpeg")
    return schema.encode(frame, mint_frame_id(frame), utc_now(), None)


@contextmanager
def benchmark_line(bus: str, bootstrap: str, scorer: ScorerSettings, folder: Path = Path()) -> Iterator[BenchmarkLine]:
    """A new line in a folder under `folder`; `bus` is embedded or kafka, on a broker of its own without `bootstrap`."""
    with (
        TemporaryDirectory(dir=folder, prefix=".benchmark-") as place,
        kafka_bootstrap(bus, bootstrap, Path(place)) as servers,
    ):
        ingest = IngestSettings(
            bus="kafka" if bus == "kafka" else "embedded",
            embedded_path=Path(place) / "bus.sqlite",
            kafka_bootstrap_servers=servers,
        )
        database = Database(f"sqlite:///{Path(place) / 'andon.sqlite'}")
        database.upgrade()
        settings = scorer.model_copy(update={"references_path": Path(place) / "references"})
        opened = open_bus(ingest)
        topic = f"benchmark-{uuid.uuid4().hex}"
        opened.ensure_topic(topic, ingest.partitions)
        with closing(opened):
            yield BenchmarkLine(opened, database, ImageStore(str(Path(place) / "images")), settings, ingest, topic)
        database.close()


@contextmanager
def kafka_bootstrap(bus: str, bootstrap: str, folder: Path) -> Iterator[str]:
    """host:port of a Kafka: the one named, or a broker of our own in `folder` for as long as this lasts."""
    if bus != "kafka" or bootstrap:
        yield bootstrap or "localhost:9092"
        return
    from testing.kafka import start_kafka  # the real one that the tests use

    broker = start_kafka(folder / "kafka", nodes=1, heap="1g")
    try:
        yield broker.bootstrap
    finally:
        broker.stop()


@contextmanager
def random_clip_weights(settings: ScorerSettings) -> Iterator[ScorerSettings]:
    """Settings with the named OpenCLIP tower at random weights kept: for speed alone, never for scores."""
    if not settings.backbone.startswith(clip_loader.FAMILY):
        yield settings
        return
    model = settings.backbone.removeprefix(clip_loader.FAMILY)
    with TemporaryDirectory() as place:
        torch.manual_seed(0)
        checkpoint = Path(place) / "random.pt"
        torch.save(openclip.build_network(openclip.find_architecture(model)).state_dict(), checkpoint)
        import_file(WeightsStore(Path(place) / "weights"), checkpoint, ImportOptions(model, "random", None))
        checkpoint.unlink()
        yield settings.model_copy(update={"weights_path": Path(place) / "weights"})
