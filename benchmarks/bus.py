"""How many frames a second a bus carries on this machine: publish, then read and commit, with images of a real size.

python -m benchmarks.bus --bus embedded
python -m benchmarks.bus --bus kafka --bootstrap localhost:9092
"""

import argparse
import json
import os
import platform
import tempfile
import time
import uuid
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from ingest.bus.opening import open_bus
from ingest.bus.protocol import Bus, Message
from ingest.frame import Frame
from ingest.producer import Producer
from ingest.settings import IngestSettings
from ingest.spool import Spool

_IN_FLIGHT_BYTES = 64_000_000


class _NoClaimChecks:
    def put(self, data: bytes) -> str:
        raise NotImplementedError("frames of this benchmark fit the bus")


def publish(bus: Bus, topic: str, frames: int, frame_bytes: int, stations: int) -> float:
    """Frames a second from the first handed over to the last acknowledged, by the bare publisher."""
    image = os.urandom(frame_bytes)
    every = max(1, _IN_FLIGHT_BYTES // frame_bytes)
    with closing(bus.publisher(topic)) as publisher:
        began = time.perf_counter()
        for number in range(frames):
            publisher.publish(Message(f"s{number % stations}", image, ()), _raise_error)
            if number % every == every - 1:
                publisher.flush(60)
        publisher.flush(60)
        return frames / (time.perf_counter() - began)


def produce(bus: Bus, topic: str, settings: IngestSettings, frames: int, frame_bytes: int, stations: int) -> float:
    """The same by the producer, which keeps each station's order whatever fails."""
    image = os.urandom(frame_bytes)
    spool = Spool(settings.spool_path, settings.max_spool_bytes)
    with closing(Producer(bus.publisher(topic), settings, spool, _NoClaimChecks())) as producer:
        began = time.perf_counter()
        for number in range(frames):
            producer.send(Frame(f"s{number % stations}", datetime.now(UTC), image, "image/jpeg"), lambda _: None)
        producer.flush(120)
        return frames / (time.perf_counter() - began)


def consume(bus: Bus, topic: str, frames: int) -> float:
    """Frames a second from the first read to the last committed, by one member that commits each batch."""
    seen = 0
    with closing(bus.consumer(topic, f"benchmark-{uuid.uuid4().hex}")) as consumer:
        began: float | None = None
        while seen < frames:
            records = consumer.poll(64, 1.0)
            if began is None and records:
                began = time.perf_counter()
            seen += len(records)
            consumer.commit({(r.place.topic, r.place.partition): r.place.offset + 1 for r in records})
        return seen / (time.perf_counter() - (began or 0.0))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--bus", choices=["embedded", "kafka"], default="embedded")
    arguments.add_argument("--bootstrap", default="localhost:9092", help="Kafka's host:port")
    arguments.add_argument("--frames", type=int, default=2000)
    arguments.add_argument("--frame-bytes", type=int, default=200_000)
    arguments.add_argument("--stations", type=int, default=12)
    arguments.add_argument("--quick", action="store_true", help="300 frames")
    given = arguments.parse_args()
    frames = 300 if given.quick else given.frames
    with tempfile.TemporaryDirectory(dir=".") as folder:
        settings = IngestSettings(
            bus=given.bus,
            embedded_path=Path(folder) / "bus.sqlite",
            spool_path=Path(folder) / "spool",
            kafka_bootstrap_servers=given.bootstrap,
        )
        with closing(open_bus(settings)) as bus:
            topics = [f"benchmark-{uuid.uuid4().hex}" for _ in range(3)]
            figures = {
                "bus": given.bus,
                "frames": frames,
                "frame_bytes": given.frame_bytes,
                "stations": given.stations,
                "publish_fps": publish(bus, topics[0], frames, given.frame_bytes, given.stations),
                "consume_fps": consume(bus, topics[0], frames),
                "produce_fps": produce(bus, topics[1], settings, frames, given.frame_bytes, given.stations),
                "produce_fps_one_station": produce(bus, topics[2], settings, frames, given.frame_bytes, 1),
                "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
            }
    print(json.dumps({name: round(v, 1) if isinstance(v, float) else v for name, v in figures.items()}, indent=2))


def _raise_error(_place: object, error: Exception | None) -> None:
    if error is not None:
        raise error


if __name__ == "__main__":
    main()
