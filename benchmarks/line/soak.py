"""A soak test: memory, open files and counts over at least 200,000 frames, a day of line time in a few minutes.

``python -m benchmarks.line.soak [--bus embedded|kafka] [--detector NAME] [--quick] [--json FILE]``

By default frames are small and a null detector scores them, which exercises everything around a model: bus, decoding,
stages, database, image store and metrics. ``--detector nearest-patch`` scores them for real.
"""

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.line.benchmark_line import BenchmarkLine, benchmark_line, render_jpeg
from benchmarks.machine import describe_machine
from benchmarks.reporting import line_argument_parser, report_results
from imaging.rgb import RgbImage
from scorer.detectors import registry
from scorer.detectors.protocol import Detector, References, Scores
from scorer.imaging.framing import Framed, Framing
from scorer.settings import ScorerSettings
from scorer.worker.progress import Progress

STATIONS = 8
FRAME_BYTES = 3_000
DIFFERENT_FRAMES = 64
PUBLISH_BATCH = 2_000
WARM_UP_FRACTION = 0.2


class NullDetector:
    """A detector that scores every image 0, so that the soak measures the line alone."""

    name = "null"
    model_id = "null"
    weights_sha256 = None

    def references(self, normals: Sequence[RgbImage], object_name: str) -> References:
        """As `Detector`."""
        return References(self.model_id, {"nothing": torch.zeros(1)}, (0.5,) * len(normals))

    def score(self, images: Sequence[RgbImage], references: References) -> Scores:
        """As `Detector`."""
        return _zeros(len(images))

    def target_size(self, height: int, width: int) -> tuple[int, int]:
        """As `Detector`."""
        return height, width

    def prepare(self, image: RgbImage) -> Framed:
        """As `Detector`."""
        height, width, _ = image.shape
        return Framed(np.zeros((1, 1, 1, 3), np.uint8), np.ones((1, 1), bool), height, width)

    def encode(self, framed: Sequence[Framed]) -> int:
        """Return the number of images, which is all that scoring needs."""
        return len(framed)

    def score_features(self, features: int, references: Sequence[References]) -> Scores:
        """As `Detector`."""
        return _zeros(features)

    def score_prepared(self, framed: Sequence[Framed], references: Sequence[References]) -> Scores:
        """As `Detector`."""
        return _zeros(len(framed))


def _zeros(count: int) -> Scores:
    return Scores(np.zeros(count, np.float32), np.zeros((count, 1, 1), np.float32), {})


def main() -> None:
    """Measure, print and, with --json, write the results."""
    parser = line_argument_parser("soak", __doc__ or "")
    parser.set_defaults(detector="null")
    parser.add_argument("--frames", type=int, default=200_000)
    options = parser.parse_args()
    frames = 6_000 if options.quick else options.frames
    is_null = options.detector == "null"
    settings = ScorerSettings(
        detector="nearest-patch" if is_null else options.detector, backbone=options.backbone, device=options.device
    )
    load: registry.LoadDetector = _null if is_null else registry.load
    images = [render_jpeg(number, FRAME_BYTES, (96, 128)) for number in range(DIFFERENT_FRAMES)]
    names = [f"s{number}" for number in range(STATIONS)]
    with benchmark_line(options.bus, options.bootstrap, settings) as line:
        for name in names:
            line.add_station(name, images[:4])
        samples = _soak(line, names, images, frames, load)
        made = line.count_verdicts()
    warm = [sample for sample in samples if sample[0] >= WARM_UP_FRACTION * frames]
    slope = float(np.polyfit([done for done, _, _ in warm], [rss for _, rss, _ in warm], 1)[0])
    results = {
        "bus": options.bus,
        "detector": options.detector,
        "frames": frames,
        "verdicts": made,
        "rss_slope_mb_per_10000_frames": round(10_000 * slope / 1e6, 3),
        "rss_first_mb": round(warm[0][1] / 1e6, 1),
        "rss_last_mb": round(warm[-1][1] / 1e6, 1),
        "open_files_first": warm[0][2],
        "open_files_last": warm[-1][2],
        "samples": [[done, round(rss / 1e6, 2), files] for done, rss, files in samples],
        "machine": describe_machine(),
    }
    report_results(results, options.json)
    if made != frames:
        raise SystemExit(f"{frames} frames gave {made} verdicts.")


def _null(settings: ScorerSettings, framing: Framing) -> Detector:
    return NullDetector()


def _soak(
    line: BenchmarkLine, names: Sequence[str], images: Sequence[bytes], frames: int, load: registry.LoadDetector
) -> list[tuple[int, int, int]]:
    """Return (frames done, bytes of memory, open files) after each batch, of one worker that never restarts."""
    samples: list[tuple[int, int, int]] = []
    stop, caught_up = threading.Event(), threading.Condition()
    done = 0

    def on_progress(progress: Progress) -> None:
        nonlocal done
        with caught_up:
            done = progress.verdicts
            caught_up.notify_all()
        if progress.verdicts >= frames:
            stop.set()

    worker = threading.Thread(target=lambda: line.worker(load).run(stop, drain=False, progress=on_progress))
    worker.start()
    for first in range(0, frames, PUBLISH_BATCH):
        batch = range(first, min(frames, first + PUBLISH_BATCH))
        line.publish([(names[number % len(names)], _with_unique_hash(images, number)) for number in batch])
        with caught_up:
            caught_up.wait_for(lambda until=batch.stop: done >= until)  # type: ignore[misc]
        samples.append((done, _memory_bytes(), len(os.listdir("/proc/self/fd"))))
    worker.join()
    return samples


def _with_unique_hash(images: Sequence[bytes], number: int) -> bytes:
    """Return a file of new content: bytes after the end of a JPEG are ignored, but change its hash."""
    return images[number % len(images)] + number.to_bytes(8, "big")


def _memory_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
