"""Where a frame's processor time goes: `python -m benchmarks.steps [--backbone NAME] [--json FILE]`.

Each step of a worker by itself, on one thread, in processor milliseconds a frame: the fastest of several rounds over
16 JPEGs of 200 kB. The parts to compare, not to add up: side by side they share caches and memory.
"""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.figures import arguments, tell
from benchmarks.lines import photograph, with_random_tower
from benchmarks.machine import machine
from scorer.decode import decode
from scorer.detectors import registry
from scorer.framing import Framing
from scorer.kept_images import KeptImages
from scorer.settings import ScorerSettings
from storage.images import ImageStore
from storage.maps import encode_map

FRAMES, AT_ONCE, NORMALS, ROUNDS = 16, 8, 4, 5


def main() -> None:
    """Measure, print and, where asked, write the figures."""
    asked = arguments("steps", __doc__ or "").parse_args()
    torch.set_num_threads(1)
    named = ScorerSettings(detector=asked.detector, backbone=asked.backbone, device=asked.device)
    with with_random_tower(named) as settings, TemporaryDirectory(dir=".", prefix=".benchmark-") as folder:
        tell({"backbone": asked.backbone, **_steps(settings, Path(folder)), "machine": machine()}, asked.json)


def _steps(settings: ScorerSettings, folder: Path) -> dict[str, float]:
    framing = Framing()
    detector = registry.load(settings, framing)
    data = [photograph(number) for number in range(FRAMES)]
    pictures = [decode(one, settings, detector.enough_px).picture for one in data]
    framed = [detector.prepare(picture) for picture in pictures]
    normals = [decode(photograph(1000 + number), settings, detector.enough_px).picture for number in range(NORMALS)]
    references = detector.references(normals, "part")
    batches = [framed[first : first + AT_ONCE] for first in range(0, FRAMES, AT_ONCE)]
    encoded = [detector.encode(batch) for batch in batches]
    maps = [one for batch in encoded for one in detector.judge(batch, references).maps.numpy()]
    images = KeptImages(ImageStore(str(folder)))
    new = iter(range(10**9))
    return {
        "decode_ms": _ms(lambda: [decode(one, settings, detector.enough_px) for one in data]),
        "frame_ms": _ms(lambda: [detector.prepare(picture) for picture in pictures]),
        "encode_ms": _ms(lambda: [detector.encode(batch) for batch in batches]),
        "judge_ms": _ms(lambda: [detector.judge(batch, references) for batch in encoded]),
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
