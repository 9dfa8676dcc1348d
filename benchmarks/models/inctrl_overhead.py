"""What InCTRL costs above its bare image tower: `python -m benchmarks.models.inctrl_overhead --json FILE [--quick]`.

ViT-B-16-plus-240 at random weights, 240-px pictures, four cached normals; one picture at a time and a batch of eight,
each against the bare tower on the same pictures, tower and detector by turns in one run. Exit 1 above the goal.
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

from scorer.backbones.openclip import OpenClip, build_network, find_architecture
from scorer.detectors.inctrl.heads import InCtrlHeads
from scorer.detectors.inctrl.method import InCtrl
from scorer.detectors.inctrl.model import InCtrlModel
from scorer.detectors.whole_image import WholeImageDetector
from scorer.engines.precision import Precision, has_fast_bf16
from scorer.imaging.framing import Framing
from scorer.imaging.rgb import RgbImage

MODEL = "ViT-B-16-plus-240"
NORMALS = 4
GOALS = {1: 1.15, 8: 1.10}
"""Batch size to the largest ratio aimed at."""


@dataclass(frozen=True)
class OverheadRow:
    """One batch size in one precision: median milliseconds of both, and the median of the rounds' ratios."""

    precision: Precision
    batch: int
    tower_ms: float
    score_ms: float
    ratio: float
    goal: float


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.models.inctrl_overhead", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--quick", action="store_true", help="3 rounds in place of 15")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    asked = parser.parse_args(arguments)
    device = torch.device(asked.device)
    precisions: list[Precision] = ["fp32", "bf16"] if has_fast_bf16(device) else ["fp32"]
    rows = [row for precision in precisions for row in measure(device, precision, 3 if asked.quick else 15)]
    if "bf16" not in precisions:
        print("bf16 is left out: this processor has neither avx512_bf16 nor amx_bf16")
    if asked.json is not None:
        result = {
            "model": f"{MODEL} at random weights",
            "normals": NORMALS,
            "device": str(device),
            "processor": processor(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "rows": [asdict(row) for row in rows],
        }
        asked.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if all(row.ratio <= row.goal for row in rows) else 1


def measure(device: torch.device, precision: Precision, rounds: int) -> Iterator[OverheadRow]:
    """A row for each batch size, printed as it comes."""
    torch.manual_seed(0)
    chosen = find_architecture(MODEL)
    backbone = OpenClip(build_network(chosen), chosen, device, precision)
    heads = InCtrlHeads(backbone.embedding_width, prod(backbone.grid))
    detector = WholeImageDetector(InCtrl(InCtrlModel(backbone, heads)), Framing("centre_crop"))
    references = detector.references(pictures(NORMALS, backbone.image_size, seed=1), "bolt")
    for batch, goal in GOALS.items():
        queries = pictures(batch, backbone.image_size, seed=2)
        images = backbone.normalised(torch.from_numpy(np.stack(queries)).permute(0, 3, 1, 2)).contiguous()
        timed = []
        for _ in range(rounds + 1):  # by turns, so that a busy machine slows both alike
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
    """How long one call takes until its result is there."""
    started = perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter() - started


def pictures(count: int, size: tuple[int, int], seed: int) -> list[RgbImage]:
    """Noise at the tower's size."""
    noise = np.random.default_rng(seed)
    return [noise.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(count)]


def processor() -> str:
    """The processor's name and what it has for bf16."""
    capabilities = torch.cpu.get_capabilities()
    has = [name for name in ("avx512_f", "avx512_bf16", "amx_bf16") if capabilities.get(name)]
    return f"{capabilities.get('cpu_name', 'unknown')} ({', '.join(has) or 'neither AVX-512 nor bf16'})"


if __name__ == "__main__":
    sys.exit(main())
