"""CPU time per frame of each stage: ``python -m benchmarks.line.stage_times [--backbone NAME] [--json FILE]``.

Each stage of a worker runs alone, on one thread: CPU milliseconds per frame, the fastest of several rounds over 16
JPEGs of 200 kB. The times can be compared but not added up, since concurrent stages share caches and memory.
"""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.line.benchmark_line import random_clip_weights, render_jpeg
from benchmarks.machine import describe_machine
from benchmarks.reporting import line_argument_parser, report_results
from imaging.decode import decode
from scorer.detectors import registry
from scorer.images import RetriableImageStore
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings
from storage.blobs.anomaly_maps import encode_map
from storage.blobs.image_store import ImageStore

FRAMES, BATCH, NORMALS, ROUNDS = 16, 8, 4, 5


def main() -> None:
    """Measure, print and, with --json, write the results."""
    options = line_argument_parser("stage_times", __doc__ or "").parse_args()
    torch.set_num_threads(1)
    named = ScorerSettings(detector=options.detector, backbone=options.backbone, device=options.device)
    with random_clip_weights(named) as settings, TemporaryDirectory(dir=".", prefix=".benchmark-") as folder:
        report_results(
            {"backbone": options.backbone, **_stage_times(settings, Path(folder)), "machine": describe_machine()},
            options.json,
        )


def _stage_times(settings: ScorerSettings, folder: Path) -> dict[str, float]:
    framing = Framing()
    detector = registry.load(settings, framing)
    data = [render_jpeg(number) for number in range(FRAMES)]
    limits = settings.image_limits
    images = [decode(jpeg, limits, detector.target_size).pixels for jpeg in data]
    framed = [detector.prepare(image) for image in images]
    normals = [decode(render_jpeg(1000 + number), limits, detector.target_size).pixels for number in range(NORMALS)]
    references = detector.references(normals, "part")
    batches = [framed[first : first + BATCH] for first in range(0, FRAMES, BATCH)]
    encoded = [detector.encode(batch) for batch in batches]
    scores = [detector.score_features(batch, [references] * BATCH) for batch in encoded]
    maps = [anomaly_map for batch in scores for anomaly_map in batch.anomaly_maps]
    store = RetriableImageStore(ImageStore(str(folder)))
    unique = iter(range(10**9))
    return {
        "decode_ms": _cpu_ms(lambda: [decode(jpeg, limits, detector.target_size) for jpeg in data]),
        "frame_ms": _cpu_ms(lambda: [detector.prepare(image) for image in images]),
        "encode_ms": _cpu_ms(lambda: [detector.encode(batch) for batch in batches]),
        "score_ms": _cpu_ms(lambda: [detector.score_features(batch, [references] * BATCH) for batch in encoded]),
        "map_ms": _cpu_ms(lambda: [encode_map(framing.map_to_image(anomaly_map, 960, 1280)) for anomaly_map in maps]),
        "store_ms": _cpu_ms(lambda: [store.put(jpeg + next(unique).to_bytes(8, "big")) for jpeg in data]),
    }


def _cpu_ms(work: Callable[[], object]) -> float:
    """Return the CPU milliseconds per frame of the fastest round, after one to warm up."""
    work()
    fastest = float("inf")
    for _ in range(ROUNDS):
        started_s = time.process_time()
        work()
        fastest = min(fastest, time.process_time() - started_s)
    return round(1000 * fastest / FRAMES, 2)


if __name__ == "__main__":
    main()
