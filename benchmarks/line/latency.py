"""From trigger to committed verdict, with a camera at half of what the line can do.

``python -m benchmarks.line.latency [--bus embedded|kafka] [--quick] [--json FILE]``

The line's rate is measured first; then a camera in a process of its own publishes at half of it, evenly, and every
frame's time from capture until its verdict is committed is taken, but for those of the first two seconds, in which a
worker's threads compute for the first time. Frames are JPEGs of 200 kB.
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
PROBED, QUICK_PROBED = 400, 100
NOT_THE_CAMERAS = 1 << 19
"""Numbers from here on are of frames that tell the line's rate; the camera's begin at 0."""


def main() -> None:
    """Measure, print and, where asked, write the figures."""
    parser = line_argument_parser("latency", __doc__ or "")
    parser.add_argument("--seconds", type=float, default=120, help="how long the camera runs")
    parser.add_argument("--load", type=float, default=0.5, help="share of the line's rate")
    asked = parser.parse_args()
    seconds = 15 if asked.quick else asked.seconds
    settings = ScorerSettings(detector=asked.detector, backbone=asked.backbone, device=asked.device)
    pictures = [render_jpeg(number) for number in range(QUICK_DIFFERENT_FRAMES if asked.quick else DIFFERENT_FRAMES)]
    with benchmark_line(asked.bus, asked.bootstrap, settings) as line:
        line.station("s1", [render_jpeg(1000 + number) for number in range(NORMALS)])
        probed = QUICK_PROBED if asked.quick else PROBED
        most = probed / time_line(line, ["s1"], pictures, probed, first=NOT_THE_CAMERAS)
        rate = asked.load * most
        latencies = _latencies(line, pictures, rate, round(rate * seconds))[round(rate * WARM_UP_S) :]
    p50, p90, p99, worst = np.percentile(latencies, [50, 90, 99, 100])
    figures = {
        "bus": asked.bus,
        "backbone": asked.backbone,
        "frames": len(latencies),
        "line_per_s": round(most, 2),
        "camera_per_s": round(rate, 2),
        "p50_ms": round(p50, 1),
        "p90_ms": round(p90, 1),
        "p99_ms": round(p99, 1),
        "longest_ms": round(worst, 1),
        "ms_by_percent": [round(float(one), 1) for one in np.percentile(latencies, range(101))],
        "machine": describe_machine(),
    }
    report_results(figures, asked.json)


def _latencies(line: BenchmarkLine, pictures: list[bytes], rate: float, frames: int) -> list[float]:
    """Milliseconds of each. The worker says when a batch is committed; which frames it held follows from order."""
    before = line.verdicts()
    committed: list[tuple[int, datetime]] = []
    stop = threading.Event()

    def told(progress: Progress) -> None:
        committed.append((progress.verdicts, utc_now()))
        if progress.verdicts >= frames:
            stop.set()

    camera = multiprocessing.get_context("spawn").Process(
        target=_camera, args=(line.ingest, line.topic, pictures, rate, frames), daemon=True
    )
    camera.start()
    line.worker().run(stop, drain=False, progress=told)
    camera.join(60)
    with line.database.read() as session:
        made = verdicts.recent(session, None, limit=frames)[::-1]
    if line.verdicts() - before != frames:
        raise RuntimeError(f"{frames} frames gave {line.verdicts() - before} verdicts")
    found, done = [], 0
    for until, at in committed:
        found += [1000 * (at - verdict.captured_at).total_seconds() for verdict in made[done:until]]
        done = until
    return found


def _camera(ingest: IngestSettings, topic: str, pictures: list[bytes], rate: float, frames: int) -> None:
    with closing(open_bus(ingest)) as bus, closing(bus.publisher(topic)) as publisher:
        began_s = time.perf_counter()
        for number in range(frames):
            time.sleep(max(0.0, began_s + number / rate - time.perf_counter()))
            publisher.publish(
                encode_message("s1", with_unique_content(pictures[number % len(pictures)], number)), _raise_error
            )
        publisher.flush(60)


def _raise_error(_: object, error: Exception | None) -> None:
    if error is not None:
        raise error


if __name__ == "__main__":
    main()
