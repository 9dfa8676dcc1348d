"""What a frame costs with 8 normals, with 64, and with 64 and a head of labelled defects.

Run ``python -m benchmarks.models.normal_count [--json FILE]``.

Nearest patch on the built-in backbone, on the engine and in the precision that a worker chooses on this machine, scores
batches of prepared images of one station. All are measured in turns, and the ratios of their medians to that of eight
normals are reported.
"""

import argparse
import io
from collections.abc import Sequence
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
from scorer.detectors.capabilities.defect_term import DefectTerm, learns_defects
from scorer.detectors.protocol import Detector, References
from scorer.imaging.framing import Framed, Framing
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
    few, many = (references[count] for count in COUNTS)
    setups = {"8 normals": few, "64 normals": many, "64 normals and a head": _with_head(detector, frames, many)}
    took_ms: dict[str, list[float]] = {name: [] for name in setups}
    for _ in range(ROUNDS):
        for name, of_station in setups.items():
            started_s = perf_counter()
            detector.score_prepared(frames, [of_station] * BATCH_FRAMES)
            took_ms[name].append(1000 * (perf_counter() - started_s) / BATCH_FRAMES)
    medians = {name: median(took) for name, took in took_ms.items()}
    results = {
        "frame_ms": {name: round(took, 2) for name, took in medians.items()},
        "ratio": {name: round(took / medians["8 normals"], 2) for name, took in medians.items()},
        "references_s": round(references_s, 1),
        "machine": describe_machine(),
    }
    report_results(results, options.json)


def _with_head(detector: Detector, frames: Sequence[Framed], references: References) -> References:
    """Return the references with a head whose weights are 0: it costs what any head costs."""
    assert learns_defects(detector)
    width = detector.evidence(detector.encode(frames[:1]), references).evidence.shape[1]
    return detector.with_term(references, DefectTerm(np.zeros(width, np.float32), 0.0))


def _pixels(data: bytes) -> RgbImage:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


if __name__ == "__main__":
    main()
