"""The latency from trigger to committed verdict, with a camera at half of the line's throughput.

``python -m benchmarks.line.latency [--bus embedded|kafka] [--quick] [--json FILE]``

The line's throughput is measured first. Then a camera, in a process of its own, publishes evenly at half of it, and
the time of every frame from capture to committed verdict is taken. The first two seconds, in which a worker's threads
compute for the first time, do not count. Frames are JPEGs of 200 kB.
"""

import multiprocessing
import threading
import time
from contextlib import closing
from datetime import datetime

import numpy as np

from benchmarks.line.benchmark_line import (
    BenchmarkLine,
    benchmark_line,
    encode_message,
    render_jpeg,
    with_unique_content,
)
from benchmarks.line.throughput import DIFFERENT_FRAMES, NORMALS, QUICK_DIFFERENT_FRAMES, time_line
from benchmarks.machine import describe_machine
from benchmarks.reporting import line_argument_parser, report_results
from foundation.clock import utc_now
from ingest.bus.registry import open_bus
from ingest.settings import IngestSettings
from scorer.settings import ScorerSettings
from scorer.worker.progress import Progress
from storage.line import verdicts

WARM_UP_S = 2.0
PROBE_FRAMES, QUICK_PROBE_FRAMES = 400, 100
FIRST_PROBE_FRAME = 1 << 19
"""The number of the first frame that measures the throughput; the camera's frames are numbered from 0."""


def main() -> None:
    """Measure, print and, with --json, write the results."""
    parser = line_argument_parser("latency", __doc__ or "")
    parser.add_argument("--seconds", type=float, default=120, help="seconds that the camera runs")
    parser.add_argument(
        "--load", type=float, default=0.5, help="the camera's rate as a fraction of the line's throughput"
    )
    options = parser.parse_args()
    seconds = 15 if options.quick else options.seconds
    settings = ScorerSettings(detector=options.detector, backbone=options.backbone, device=options.device)
    images = [render_jpeg(number) for number in range(QUICK_DIFFERENT_FRAMES if options.quick else DIFFERENT_FRAMES)]
    with benchmark_line(options.bus, options.bootstrap, settings) as line:
        line.add_station("s1", [render_jpeg(1000 + number) for number in range(NORMALS)])
        probed = QUICK_PROBE_FRAMES if options.quick else PROBE_FRAMES
        line_per_s = probed / time_line(line, ["s1"], images, probed, first=FIRST_PROBE_FRAME)
        rate = options.load * line_per_s
        latencies = _latencies(line, images, rate, round(rate * seconds))[round(rate * WARM_UP_S) :]
    p50, p90, p99, worst = np.percentile(latencies, [50, 90, 99, 100])
    results = {
        "bus": options.bus,
        "backbone": options.backbone,
        "frames": len(latencies),
        "line_per_s": round(line_per_s, 2),
        "camera_per_s": round(rate, 2),
        "p50_ms": round(p50, 1),
        "p90_ms": round(p90, 1),
        "p99_ms": round(p99, 1),
        "longest_ms": round(worst, 1),
        "ms_by_percent": [round(float(latency), 1) for latency in np.percentile(latencies, range(101))],
        "machine": describe_machine(),
    }
    report_results(results, options.json)


def _latencies(line: BenchmarkLine, images: list[bytes], rate: float, frames: int) -> list[float]:
    """Return the latency of each frame in milliseconds.

    The worker reports when a batch is committed; which frames the batch held follows from their order.
    """
    before = line.count_verdicts()
    committed: list[tuple[int, datetime]] = []
    stop = threading.Event()

    def on_progress(progress: Progress) -> None:
        committed.append((progress.verdicts, utc_now()))
        if progress.verdicts >= frames:
            stop.set()

    camera = multiprocessing.get_context("spawn").Process(
        target=_camera, args=(line.ingest, line.topic, images, rate, frames), daemon=True
    )
    camera.start()
    line.worker().run(stop, drain=False, progress=on_progress)
    camera.join(60)
    with line.database.read() as session:
        verdicts_in_order = verdicts.recent(session, None, limit=frames)[::-1]
    if line.count_verdicts() - before != frames:
        raise RuntimeError(f"{frames} frames gave {line.count_verdicts() - before} verdicts.")
    latencies, done = [], 0
    for until, at in committed:
        latencies += [1000 * (at - verdict.captured_at).total_seconds() for verdict in verdicts_in_order[done:until]]
        done = until
    return latencies


def _camera(ingest: IngestSettings, topic: str, images: list[bytes], rate: float, frames: int) -> None:
    with closing(open_bus(ingest)) as bus, closing(bus.publisher(topic)) as publisher:
        started_s = time.perf_counter()
        for number in range(frames):
            time.sleep(max(0.0, started_s + number / rate - time.perf_counter()))
            publisher.publish(
                encode_message("s1", with_unique_content(images[number % len(images)], number)), _raise_error
            )
        publisher.flush(60)


def _raise_error(_: object, error: Exception | None) -> None:
    if error is not None:
        raise error


if __name__ == "__main__":
    main()
