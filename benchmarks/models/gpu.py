"""The throughput of InCTRL's tower on an accelerator: ``python -m benchmarks.models.gpu [--quick] [--json FILE]``.

ViT-B-16-plus-240 with random weights in bf16 is run from pixels in host memory to tokens on the device, at batch 1, 8,
32 and 128, on torch and on CUDA graphs; and from decoded images of 300 × 400, which are resized on the device. The
ceiling is the rate of a large bf16 matrix product in the same run, and the share is the tower's own operations per
second over it. ``--profile`` prints where the rest of the time goes.

On ``--device cpu`` it runs slowly, in fp32 where the processor has no bf16; this shows only that it runs.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.machine import describe_machine
from benchmarks.reporting import report_results
from scorer.backbones.block_selection import select_blocks
from scorer.backbones.clip_architecture import build_network, find_architecture
from scorer.backbones.openclip import OpenClip, OpenClipPatches
from scorer.backbones.preprocessing import Preprocessor, pixel_batch
from scorer.backbones.protocol import PatchBackbone
from scorer.engines.devices import resolve_device
from scorer.engines.measurements import EngineName
from scorer.engines.precision import has_fast_bf16
from scorer.engines.registry import ENGINES
from scorer.imaging.framing import Framed, Framing

MODEL = "ViT-B-16-plus-240"
BATCHES = (1, 8, 32, 128)
GOAL_SHARE = 0.5
SQUARE = 8192
QUICK_SQUARE = 1024
DECODED = (300, 400)


def main() -> None:
    """Measure, print and, with --json, write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--quick", action="store_true", help="batch 1 and 8, few rounds, a small product")
    parser.add_argument("--profile", action="store_true", help="print torch's profile of the largest batch")
    parser.add_argument("--json", type=Path, help="file for the results")
    options = parser.parse_args()
    device = resolve_device(options.device)
    batches, rounds = (BATCHES[:2], 2) if options.quick else (BATCHES, 30)
    ceiling = _ceiling(device, QUICK_SQUARE if options.quick else SQUARE, rounds)
    rows = list(_rows(device, batches, rounds, ceiling, options.profile))
    results = {
        "model": MODEL,
        "ceiling_tflops": round(ceiling / 1e12, 2),
        "goal_share": GOAL_SHARE,
        "rows": rows,
        "machine": describe_machine(),
    }
    report_results(results, options.json)


def _rows(
    device: torch.device, batches: tuple[int, ...], rounds: int, ceiling: float, with_profile: bool
) -> Iterator[dict[str, object]]:
    chosen = find_architecture(MODEL)
    torch.manual_seed(0)
    network = build_network(chosen)
    engines: list[EngineName] = [
        one for one in ("torch", "cuda-graphs") if ENGINES[one].unavailable_reason(device) is None
    ]
    for engine in engines:
        towers = OpenClip(network, chosen, device, "auto", engine)
        blocks = select_blocks("", towers.blocks, MODEL)
        backbone = OpenClipPatches(towers, blocks, None)
        for batch in batches:
            pixels = torch.randint(0, 256, (batch, 3, *backbone.size), dtype=torch.uint8)
            images = np.random.default_rng(0).integers(0, 256, (batch, *DECODED, 3), dtype=np.uint8)
            preprocessor = Preprocessor(Framing(), backbone.size, backbone.grid, device)
            decoded = [preprocessor.prepare(one) for one in images]
            with FlopCounterMode(display=False) as counter:
                OpenClipPatches(OpenClip(network, chosen, device), blocks, None).tokens(pixels)
            took_s = _seconds(partial(backbone.tokens, pixels), rounds, device)
            decoded_s = _seconds(partial(_from_decoded, backbone, decoded), rounds, device)
            yield {
                "engine": engine,
                "precision": str(towers.dtype).removeprefix("torch."),
                "batch": batch,
                "images_per_s": round(batch / took_s, 1),
                "ms": round(1000 * took_s, 2),
                "share_of_ceiling": round(counter.get_total_flops() / took_s / ceiling, 3),
                "images_per_s_from_decoded": round(batch / decoded_s, 1),
            }
        if with_profile:
            _profile(partial(backbone.tokens, pixels))


def _from_decoded(backbone: PatchBackbone, decoded: Sequence[Framed]) -> torch.Tensor:
    return backbone.tokens(pixel_batch(decoded, backbone.device))


def _ceiling(device: torch.device, side: int, rounds: int) -> float:
    """Return operations per second of a square matrix product, in bf16 where the device has it."""
    dtype = torch.bfloat16 if has_fast_bf16(device) else torch.float32
    one, other = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return 2 * side**3 / _seconds(lambda: one @ other, rounds, device)


def _seconds(work: Callable[[], object], rounds: int, device: torch.device) -> float:
    """Return the seconds of the fastest call, each synchronised with the device."""
    fastest = float("inf")
    for _ in range(rounds + 2):
        _wait(device)
        started_s = time.perf_counter()
        work()
        _wait(device)
        fastest = min(fastest, time.perf_counter() - started_s)
    return fastest


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _profile(work: Callable[[], object]) -> None:
    with torch.profiler.profile() as profile:
        work()
    print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=12))


if __name__ == "__main__":
    main()
