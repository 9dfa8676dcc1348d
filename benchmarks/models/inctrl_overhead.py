"""InCTRL's time relative to its image tower: ``python -m benchmarks.models.inctrl_overhead [--quick] [--json FILE]``.

The model is ViT-B-16-plus-240 with random weights, on images of 240 px, with four cached normals. One image and a batch
of eight are scored, and encoded by the tower alone, in turns in one run. The exit code is 1 above the goal.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from math import prod
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch

from imaging.rgb import RgbImage
from scorer.backbones.clip_architecture import build_network, find_architecture
from scorer.backbones.openclip import OpenClip
from scorer.detectors.inctrl.heads import InCtrlHeads
from scorer.detectors.inctrl.method import InCtrl
from scorer.detectors.inctrl.model import InCtrlModel
from scorer.detectors.whole_image import WholeImageDetector
from scorer.engines.precision import Precision, has_fast_bf16
from scorer.imaging.framing import Framing

MODEL = "ViT-B-16-plus-240"
NORMALS = 4
GOALS = {1: 1.15, 8: 1.10}
"""The largest ratio to reach, by batch size."""


@dataclass(frozen=True)
class OverheadRow:
    """The median milliseconds of tower and detector, and the median ratio, of one batch size in one precision."""

    precision: Precision
    batch: int
    tower_ms: float
    score_ms: float
    ratio: float
    goal: float


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and, with --json, write the results; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.models.inctrl_overhead", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="file for the results")
    parser.add_argument("--quick", action="store_true", help="3 rounds in place of 15")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    precisions: list[Precision] = ["fp32", "bf16"] if has_fast_bf16(device) else ["fp32"]
    rows = [row for precision in precisions for row in measure(device, precision, 3 if options.quick else 15)]
    if "bf16" not in precisions:
        print("bf16 is left out: this processor has neither avx512_bf16 nor amx_bf16")
    if options.json is not None:
        result = {
            "model": f"{MODEL} at random weights",
            "normals": NORMALS,
            "device": str(device),
            "processor": processor(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "rows": [asdict(row) for row in rows],
        }
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if all(row.ratio <= row.goal for row in rows) else 1


def measure(device: torch.device, precision: Precision, rounds: int) -> Iterator[OverheadRow]:
    """Yield and print a row for each batch size."""
    torch.manual_seed(0)
    chosen = find_architecture(MODEL)
    backbone = OpenClip(build_network(chosen), chosen, device, precision)
    heads = InCtrlHeads(backbone.embedding_width, prod(backbone.grid))
    detector = WholeImageDetector(InCtrl(InCtrlModel(backbone, heads)), Framing("centre_crop"))
    references = detector.references(random_images(NORMALS, backbone.image_size, seed=1), "bolt")
    for batch, goal in GOALS.items():
        queries = random_images(batch, backbone.image_size, seed=2)
        images = backbone.normalised(torch.from_numpy(np.stack(queries)).permute(0, 3, 1, 2)).contiguous()
        timed = []
        for _ in range(rounds + 1):  # in turns, so that other load affects both alike
            tower_s = seconds(partial(backbone.embed_images, images), device)
            timed.append((tower_s, seconds(partial(detector.score, queries, references), device)))
        row = _row(precision, batch, goal, timed[1:])
        print(
            f"{precision} batch {batch}: tower {row.tower_ms:.1f} ms, score {row.score_ms:.1f} ms, "
            f"ratio {row.ratio:.3f} (goal {goal:.2f})",
            flush=True,
        )
        yield row


def _row(precision: Precision, batch: int, goal: float, timed: list[tuple[float, float]]) -> OverheadRow:
    return OverheadRow(
        precision=precision,
        batch=batch,
        tower_ms=1000 * median(tower for tower, _ in timed),
        score_ms=1000 * median(score for _, score in timed),
        ratio=median(score / tower for tower, score in timed),
        goal=goal,
    )


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of one call until its result is available."""
    started_s = perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter() - started_s


def random_images(count: int, size: tuple[int, int], seed: int) -> list[RgbImage]:
    """Return images of noise at the tower's size."""
    noise = np.random.default_rng(seed)
    return [noise.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(count)]


def processor() -> str:
    """Return the processor's name and its instructions for bf16."""
    capabilities = torch.cpu.get_capabilities()
    has = [name for name in ("avx512_f", "avx512_bf16", "amx_bf16") if capabilities.get(name)]
    return f"{capabilities.get('cpu_name', 'unknown')} ({', '.join(has) or 'neither AVX-512 nor bf16'})"


if __name__ == "__main__":
    sys.exit(main())
