"""Where a frame's processor time goes: `python -m benchmarks.line.stage_times [--backbone NAME] [--json FILE]`.

Each step of a worker by itself, on one thread, in processor milliseconds a frame: the fastest of several rounds over
16 JPEGs of 200 kB. The parts to compare, not to add up: side by side they share caches and memory.
"""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.line.benchmark_line import random_clip_weights, render_jpeg
from benchmarks.machine import describe_machine
from benchmarks.reporting import line_argument_parser, report_results
from scorer.detectors import registry
from scorer.images import RetriableImageStore
from scorer.imaging.decode import decode
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings
from storage.blobs.anomaly_maps import encode_map
from storage.blobs.image_store import ImageStore

FRAMES, AT_ONCE, NORMALS, ROUNDS = 16, 8, 4, 5


def main() -> None:
    """Measure, print and, where asked, write the figures."""
    asked = line_argument_parser("steps", __doc__ or "").parse_args()
    torch.set_num_threads(1)
    named = ScorerSettings(detector=asked.detector, backbone=asked.backbone, device=asked.device)
    with random_clip_weights(named) as settings, TemporaryDirectory(dir=".", prefix=".benchmark-") as folder:
        report_results(
            {"backbone": asked.backbone, **_steps(settings, Path(folder)), "machine": describe_machine()}, asked.json
        )


def _steps(settings: ScorerSettings, folder: Path) -> dict[str, float]:
    framing = Framing()
    detector = registry.load(settings, framing)
    data = [render_jpeg(number) for number in range(FRAMES)]
    pictures = [decode(one, settings, detector.target_size).picture for one in data]
    framed = [detector.prepare(picture) for picture in pictures]
    normals = [decode(render_jpeg(1000 + number), settings, detector.target_size).picture for number in range(NORMALS)]
    references = detector.references(normals, "part")
    batches = [framed[first : first + AT_ONCE] for first in range(0, FRAMES, AT_ONCE)]
    encoded = [detector.encode(batch) for batch in batches]
    scores = [detector.score_features(batch, [references] * AT_ONCE) for batch in encoded]
    maps = [anomaly_map for batch in scores for anomaly_map in batch.anomaly_maps]
    images = RetriableImageStore(ImageStore(str(folder)))
    new = iter(range(10**9))
    return {
        "decode_ms": _ms(lambda: [decode(one, settings, detector.target_size) for one in data]),
        "frame_ms": _ms(lambda: [detector.prepare(picture) for picture in pictures]),
        "encode_ms": _ms(lambda: [detector.encode(batch) for batch in batches]),
        "score_ms": _ms(lambda: [detector.score_features(batch, [references] * AT_ONCE) for batch in encoded]),
        "map_ms": _ms(lambda: [encode_map(framing.over(one, 960, 1280)) for one in maps]),
        "keep_ms": _ms(lambda: [images.put(one + next(new).to_bytes(8, "big")) for one in data]),
    }


def _ms(work: Callable[[], object]) -> float:
    work()
    fastest = float("inf")
    for _ in range(ROUNDS):
        began_s = time.process_time()
        work()
        fastest = min(fastest, time.process_time() - began_s)
    return round(1000 * fastest / FRAMES, 2)


if __name__ == "__main__":
    main()
