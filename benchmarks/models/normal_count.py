"""What a frame costs with 8 and with 64 normals: ``python -m benchmarks.models.normal_count [--json FILE]``.

Nearest patch on the built-in backbone, on the engine and in the precision that a worker chooses on this machine, scores
batches of prepared images of one station. Both sets are measured in turns, and the ratio of their medians is reported.
"""

import argparse
import io
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from PIL import Image

from benchmarks.machine import describe_machine
from benchmarks.reporting import report_results
from imaging.rgb import RgbImage
from ingest.sources import simulated
from scorer.detectors import registry
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings

COUNTS = (8, 64)
BATCH_FRAMES = 8
ROUNDS = 15
SEED = 5


def main() -> None:
    """Measure, print and, with --json, write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models.normal_count", description=__doc__)
    parser.add_argument("--json", type=Path, help="file for the results")
    options = parser.parse_args()
    detector = registry.load(ScorerSettings(), Framing("letterbox"))
    images = [_pixels(data) for data in simulated.normals("coins", max(COUNTS) + BATCH_FRAMES, SEED)]
    frames = [detector.prepare(image) for image in images[max(COUNTS) :]]
    started_s = perf_counter()
    references = {count: detector.references(images[:count], "") for count in COUNTS}
    references_s = perf_counter() - started_s
    took_ms: dict[int, list[float]] = {count: [] for count in COUNTS}
    for _ in range(ROUNDS):
        for count in COUNTS:
            started_s = perf_counter()
            detector.score_prepared(frames, [references[count]] * BATCH_FRAMES)
            took_ms[count].append(1000 * (perf_counter() - started_s) / BATCH_FRAMES)
    few, many = (median(took_ms[count]) for count in COUNTS)
    results = {
        "frame_ms": {str(count): round(median(took_ms[count]), 2) for count in COUNTS},
        "ratio": round(many / few, 2),
        "references_s": round(references_s, 1),
        "machine": describe_machine(),
    }
    report_results(results, options.json)


def _pixels(data: bytes) -> RgbImage:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


if __name__ == "__main__":
    main()
