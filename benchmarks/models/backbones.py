"""Shapes, speed and memory of backbones at full size: ``python -m benchmarks.models.backbones [--quick] [--json FILE]
[NAME …]``.

Milliseconds per image are measured one at a time and in batches of eight, with random weights, since neither speed nor
shape depends on their values. A name is one of scorer.backbone; each runs in a process of its own for its peak memory.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe_machine
from scorer.backbones.protocol import PatchBackbone
from scorer.engines.precision import Precision
from scorer.errors import ScorerError

NAMES = (
    "andon-tiny",
    "timm/vit_small_patch14_dinov2.lvd142m",
    "timm/vit_small_patch16_dinov3.lvd1689m",
    "timm/vit_pe_core_small_patch16_384.fb",
    "openclip/ViT-B-16-plus-240",
)
BATCH = 8


@dataclass(frozen=True)
class BackboneRow:
    """The measurements of one backbone.

    Attributes:
        backbone: Its name.
        precision: The precision it ran in.
        size: Height and width of its images.
        grid: Rows and columns of its patches.
        prefix: Class and register tokens before the patches; None for a network that is not a transformer.
        blocks: The blocks that give tokens.
        depth: The number of its blocks; None for a network that is not a transformer.
        width: The width of a token.
        single_ms: Milliseconds per image, one at a time, in the fastest round.
        single_median_ms: The median of the rounds.
        batch_ms: Milliseconds per image in a batch of eight, in the fastest round.
        batch_median_ms: The median of the rounds.
        parameters_mb: Megabytes of weights in that precision.
        peak_mb: The peak memory of the process, with a batch of eight, above that before loading the network.
    """

    backbone: str
    precision: str
    size: tuple[int, int]
    grid: tuple[int, int]
    prefix: int | None
    blocks: tuple[int, ...]
    depth: int | None
    width: int
    single_ms: float
    single_median_ms: float
    batch_ms: float
    batch_median_ms: float
    parameters_mb: float
    peak_mb: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure each backbone in a process of its own, print and write; return the exit code."""
    options = _arguments(arguments)
    if options.alone:
        try:
            row = measure(
                options.names[0], options.precision, torch.device(options.device), options.threads, options.rounds
            )
        except ScorerError as error:
            print(error, file=sys.stderr)
            return 1
        print(json.dumps(asdict(row)))
        return 0
    rows, failed = [], False
    for name in options.names:
        done = subprocess.run([*_command_line(options), "--alone", name], capture_output=True, text=True, check=False)
        if done.returncode:
            failed = True
            print(f"{name}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            continue
        rows.append(json.loads(done.stdout))
        print(f"{name}: {rows[-1]['single_ms']:.1f} ms per image", file=sys.stderr, flush=True)
    report(rows)
    if options.json is not None:
        results = {"machine": describe_machine(), "threads": options.threads, "weights": "random", "rows": rows}
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    return int(failed)


def measure(name: str, precision: Precision, device: torch.device, threads: int, rounds: int) -> BackboneRow:
    """Measure one backbone in this process."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    before_mb = _peak_mb(device)
    backbone, network = load_with_random_weights(name, precision, device)
    pixels = torch.randint(0, 256, (BATCH, 3, *backbone.size), dtype=torch.uint8)
    single = [1000 * _seconds(lambda: backbone.tokens(pixels[:1]), device) for _ in range(rounds + 1)][1:]
    batch = [1000 * _seconds(lambda: backbone.tokens(pixels), device) / BATCH for _ in range(rounds + 1)][1:]
    layers, _, patches, width = backbone.tokens(pixels[:1]).shape
    if patches != backbone.grid[0] * backbone.grid[1]:
        raise ScorerError(f"{name} gave {patches} patches for a grid of {backbone.grid}.")
    parameters = sum(tensor.numel() * tensor.element_size() for tensor in network.parameters())
    chosen = [int(number) for part, number in backbone.configuration.items() if part.startswith("layer ")]
    return BackboneRow(
        backbone=name,
        precision=str(next(network.parameters()).dtype).removeprefix("torch."),
        size=backbone.size,
        grid=backbone.grid,
        prefix=getattr(backbone, "prefix_tokens", None),
        blocks=tuple(chosen) or tuple(range(1, layers + 1)),
        depth=getattr(backbone, "depth", None),
        width=width,
        single_ms=min(single),
        single_median_ms=median(single),
        batch_ms=min(batch),
        batch_median_ms=median(batch),
        parameters_mb=parameters / 1e6,
        peak_mb=_peak_mb(device) - before_mb,
    )


def load_with_random_weights(
    name: str, precision: Precision, device: torch.device
) -> tuple[PatchBackbone, torch.nn.Module]:
    """Return a backbone by its name, with random weights, and the network that computes its tokens."""
    if name.startswith("timm/"):
        from scorer.backbones.block_selection import select_blocks
        from scorer.backbones.timm_vit import TimmVit, build_timm, depth_of

        network = build_timm(name.removeprefix("timm/"))
        return TimmVit(network, name, select_blocks("", depth_of(network), name), device, precision), network
    if name.startswith("openclip/"):
        from scorer.backbones import clip_architecture, openclip
        from scorer.backbones.block_selection import select_blocks

        chosen = clip_architecture.find_architecture(*name.removeprefix("openclip/").split(":"))
        towers = openclip.OpenClip(clip_architecture.build_network(chosen), chosen, device, precision)
        visual: torch.nn.Module = towers.network.visual  # type: ignore[assignment]
        return openclip.OpenClipPatches(towers, select_blocks("", towers.blocks, name), None), visual
    from scorer.backbones.tiny import NAME, load_tiny

    if name != NAME:
        raise ScorerError(f"{name!r} can't be measured; name {NAME}, openclip/MODEL or timm/MODEL.TAG.")
    tiny = load_tiny(device)
    return tiny, tiny.network


def report(rows: Sequence[dict[str, object]]) -> None:
    """Print the table."""
    table = Table("backbone", "precision", "picture", "grid", "prefix", "blocks", "width", title="at random weights")
    for heading in ("ms", f"ms of {BATCH}", "weights MB", "peak MB"):
        table.add_column(heading, justify="right")
    for plain in rows:
        row = BackboneRow(**plain)  # type: ignore[arg-type]
        table.add_row(
            row.backbone,
            row.precision,
            _by(row.size),
            _by(row.grid),
            "" if row.prefix is None else str(row.prefix),
            ",".join(str(block) for block in row.blocks) + (f" of {row.depth}" if row.depth else ""),
            str(row.width),
            f"{row.single_ms:.1f} ({row.single_median_ms:.1f})",
            f"{row.batch_ms:.1f} ({row.batch_median_ms:.1f})",
            f"{row.parameters_mb:.1f}",
            f"{row.peak_mb:.0f}",
        )
    Console(width=None if sys.stdout.isatty() else 180).print(table)


def _by(pair: Sequence[int]) -> str:
    return f"{pair[0]} × {pair[1]}"


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    started_s = perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter() - started_s


def _peak_mb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def _command_line(options: argparse.Namespace) -> list[str]:
    """Return this command without its names."""
    names = ("precision", "device", "threads", "rounds")
    arguments = [part for name in names for part in (f"--{name}", str(getattr(options, name)))]
    return [sys.executable, "-m", "benchmarks.models.backbones", *arguments]


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models.backbones", description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", default=list(NAMES), metavar="NAME", help="backbones; five by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="file for the results")
    parser.add_argument("--quick", action="store_true", help="2 rounds in place of 10")
    parser.add_argument("--rounds", type=int, default=10, help="how often each is timed")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto", help="of transformers")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of torch")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds = 2
    return options


if __name__ == "__main__":
    sys.exit(main())
