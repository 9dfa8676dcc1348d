"""The throughput of a bus on this machine, with images of a real size.

``python -m benchmarks.line.bus [--bus embedded|kafka] [--bootstrap HOST:PORT] [--quick] [--json FILE]``

The main result is ``concurrent_fps``: a consumer in a process of its own reads and commits frames while the producer
sends them, and none may be lost. The other results are of each alone.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
import uuid
from contextlib import closing
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path

from benchmarks.line.benchmark_line import kafka_bootstrap
from benchmarks.machine import describe_machine
from benchmarks.reporting import add_bus_arguments, report_results
from foundation.clock import utc_now
from ingest.bus.protocol import Bus, Message
from ingest.bus.registry import open_bus
from ingest.frame import Frame
from ingest.producer.producer import Producer
from ingest.producer.spool import Spool
from ingest.settings import IngestSettings

_IN_FLIGHT_BYTES = 64_000_000
START_TIMEOUT_S = 240


class _NoClaimChecks:
    """An image store that no frame is large enough to need."""

    def put(self, data: bytes) -> str:
        raise NotImplementedError("Frames of this benchmark fit the bus.")


def publish(bus: Bus, topic: str, frames: int, frame_bytes: int, stations: int) -> float:
    """Return frames per second of the bare publisher, from the first frame published to the last acknowledged."""
    image = os.urandom(frame_bytes)
    frames_per_flush = max(1, _IN_FLIGHT_BYTES // frame_bytes)
    with closing(bus.publisher(topic)) as publisher:
        started_s = time.perf_counter()
        for number in range(frames):
            publisher.publish(Message(f"s{number % stations}", image, ()), _raise_error)
            if number % frames_per_flush == frames_per_flush - 1:
                publisher.flush(60)
        publisher.flush(60)
        return frames / (time.perf_counter() - started_s)


def produce(bus: Bus, topic: str, settings: IngestSettings, frames: int, frame_bytes: int, stations: int) -> float:
    """Return frames per second of the producer, which spools and keeps the order of each station."""
    image = os.urandom(frame_bytes)
    spool = Spool(settings.spool_path, settings.max_spool_bytes)
    with closing(Producer(bus.publisher(topic), settings, spool, _NoClaimChecks())) as producer:
        started_s = time.perf_counter()
        for number in range(frames):
            producer.send(Frame(f"s{number % stations}", utc_now(), image, "image/jpeg"), lambda _: None)
        producer.flush(120)
        return frames / (time.perf_counter() - started_s)


def consume(bus: Bus, topic: str, frames: int) -> float:
    """Return frames per second of one consumer that commits each batch, from the first read to the last commit."""
    seen = 0
    with closing(bus.consumer(topic, f"benchmark-{uuid.uuid4().hex}")) as consumer:
        started_s: float | None = None
        while seen < frames:
            records = consumer.poll(64, 1.0)
            if started_s is None and records:
                started_s = time.perf_counter()
            seen += len(records)
            consumer.commit({(r.position.topic, r.position.partition): r.position.offset + 1 for r in records})
        return seen / (time.perf_counter() - (started_s or 0.0))


def produce_and_consume(
    bus: Bus, topic: str, settings: IngestSettings, frames: int, frame_bytes: int, stations: int
) -> tuple[float, int]:
    """Return frames per second from the first sent to the last committed by a concurrent consumer, and their count."""
    context = multiprocessing.get_context("spawn")
    ready, counted = context.Event(), context.Queue()
    reader = context.Process(target=_read, args=(settings, topic, frames, ready, counted), daemon=True)
    bus.ensure_topic(topic, settings.partitions)
    reader.start()
    if not ready.wait(START_TIMEOUT_S):
        raise RuntimeError(f"The consumer did not start within {START_TIMEOUT_S} s.")
    image = os.urandom(frame_bytes)
    spool = Spool(settings.spool_path, settings.max_spool_bytes)
    started_s = time.perf_counter()
    with closing(Producer(bus.publisher(topic), settings, spool, _NoClaimChecks())) as producer:
        for number in range(frames):
            producer.send(Frame(f"s{number % stations}", utc_now(), image, "image/jpeg"), lambda _: None)
        producer.flush(120)
        seen: int = counted.get(timeout=120)
        took = time.perf_counter() - started_s
    reader.join(30)
    return frames / took, seen


def _read(settings: IngestSettings, topic: str, frames: int, ready: Event, counted: "Queue[int]") -> None:
    """Read and commit batches until all frames arrived, each counted once."""
    positions: set[tuple[int, int]] = set()
    with closing(open_bus(settings)) as bus, closing(bus.consumer(topic, "concurrent")) as consumer:
        consumer.poll(1, 2.0)
        ready.set()
        while len(positions) < frames:
            records = consumer.poll(64, 1.0)
            positions |= {(record.position.partition, record.position.offset) for record in records}
            consumer.commit({(r.position.topic, r.position.partition): r.position.offset + 1 for r in records})
    counted.put(len(positions))


def main() -> None:
    """Measure, print and, with --json, write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_bus_arguments(parser)
    parser.add_argument("--frames", type=int, default=3000)
    parser.add_argument("--frame-bytes", type=int, default=200_000)
    parser.add_argument("--stations", type=int, default=12)
    options = parser.parse_args()
    frames, size, stations = 400 if options.quick else options.frames, options.frame_bytes, options.stations
    with (
        tempfile.TemporaryDirectory(dir=".", prefix=".benchmark-") as folder,
        kafka_bootstrap(options.bus, options.bootstrap, Path(folder)) as servers,
    ):
        settings = IngestSettings(
            bus=options.bus,
            embedded_path=Path(folder) / "bus.sqlite",
            spool_path=Path(folder) / "spool",
            kafka_bootstrap_servers=servers,
        )
        with closing(open_bus(settings)) as bus:
            topics = [f"benchmark-{uuid.uuid4().hex}" for _ in range(4)]
            rate, seen = produce_and_consume(bus, topics[0], settings, frames, size, stations)
            if seen != frames:
                raise SystemExit(f"{frames} frames were sent and {seen} arrived.")
            results = {
                "bus": options.bus,
                "frames": frames,
                "frame_bytes": size,
                "stations": stations,
                "concurrent_fps": rate,
                "publish_fps": publish(bus, topics[1], frames, size, stations),
                "consume_fps": consume(bus, topics[1], frames),
                "produce_fps": produce(bus, topics[2], settings, frames, size, stations),
                "produce_fps_one_station": produce(bus, topics[3], settings, frames, size, 1),
                "machine": describe_machine(),
            }
    report_results(
        {name: round(value, 1) if isinstance(value, float) else value for name, value in results.items()}, options.json
    )


def _raise_error(_place: object, error: Exception | None) -> None:
    if error is not None:
        raise error


if __name__ == "__main__":
    main()
