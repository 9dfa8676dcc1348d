"""PatchCore, PaDiM and WinCLIP against anomalib 2.7, on the same features and images, in one run.

``python -m benchmarks.peers --data DIR… [--teacher FILE] [--environment DIR] [--quick] [--json FILE]`` makes anomalib's
environment with uv if it does not exist. Both sides get the same ResNet-18 (the teacher's file, else random weights),
the same images of 256 px and the same 4 shots. It prints image AUROC and milliseconds per image, taken in turns, of
which the fastest counts, since other load only adds. WinCLIP is timed with random weights. Ours is timed as a worker on
this machine runs it, on the engine and in the precision that a measurement chooses, and on torch in fp32, where both
sides compute the same products; accuracy is that of the latter. The exit code is 1 when the former is below a goal.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import save_file

from benchmarks.machine import describe_machine
from benchmarks.peers.accuracy import AccuracyComparison, compare_accuracy
from benchmarks.peers.anomalib_process import Anomalib, prepare_environment
from benchmarks.peers.dataset import SHOTS, read_peer_dataset
from benchmarks.peers.resnet_backbone import load_weight_arrays, to_timm_state_dict
from benchmarks.peers.speed import IMAGES_PER_TURN, SpeedComparison, time_patch_methods, time_winclip


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print and, with --json, write the results; return the exit code."""
    options = _parse_arguments(arguments)
    torch.set_num_threads(options.threads)
    python, arrays = prepare_environment(options.environment), load_weight_arrays(options.teacher)
    datasets = [read_peer_dataset(folder, options.limit) for folder in options.data]
    with tempfile.TemporaryDirectory(prefix="andon-peers-") as temporary:
        folder = Path(temporary)
        save_file(to_timm_state_dict(arrays), folder / "resnet18.safetensors")
        with Anomalib(python, folder, options.threads) as anomalib:
            speeds = list(time_patch_methods(datasets[0], arrays, anomalib, folder, options.rounds))
            if not options.without_winclip:
                speeds += time_winclip(datasets[0], anomalib, folder, max(1, options.rounds // 8))
            accuracies = [
                comparison
                for dataset in datasets
                for comparison in compare_accuracy(dataset, arrays, anomalib, folder, options.seeds)
            ]
    print_tables(accuracies, speeds)
    if options.json:
        results = {
            "machine": describe_machine(),
            "threads": options.threads,
            "weights": "teacher" if options.teacher else "random",
            "shots": SHOTS,
            "seeds": options.seeds,
            "limit": options.limit,
            "rounds": options.rounds,
            "accuracy": [asdict(accuracy) for accuracy in accuracies],
            "speed": [asdict(speed) for speed in speeds],
        }
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0 if all(speed.goal is None or speed.ratio >= speed.goal for speed in speeds) else 1


def print_tables(accuracies: Sequence[AccuracyComparison], speeds: Sequence[SpeedComparison]) -> None:
    """Print a table of accuracy and one of speed."""
    table = Table("method", "data", "ours", "anomalib", "difference", title=f"image AUROC × 100, {SHOTS} shots")
    for accuracy in accuracies:
        table.add_row(
            accuracy.method,
            accuracy.dataset,
            f"{accuracy.ours:.1f}",
            f"{accuracy.anomalib:.1f}",
            f"{accuracy.ours - accuracy.anomalib:+.1f}",
        )
    Console().print(table)
    table = Table("method", "ours", "anomalib", "times faster", "goal", title="ms per image: wall (CPU), fastest turn")
    for speed in speeds:
        table.add_row(
            speed.method,
            f"{speed.ours_ms:.1f} ({speed.ours_processor_ms:.1f})",
            f"{speed.anomalib_ms:.1f} ({speed.anomalib_processor_ms:.1f})",
            f"{speed.ratio:.2f} ({speed.processor_ratio:.2f})",
            f"{speed.goal:.1f}" if speed.goal else "",
        )
    Console().print(table)


def _parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders in MVTec AD layout")
    parser.add_argument("--teacher", type=Path, help="ResNet-18's .npz file; random weights without it")
    parser.add_argument("--environment", type=Path, default=Path(".peers"), help="folder of anomalib's environment")
    parser.add_argument("--seeds", type=int, default=3, help="draws of the shots")
    parser.add_argument("--limit", type=int, default=60, help="the most normals and the most anomalies per dataset")
    parser.add_argument("--rounds", type=int, default=15, help=f"turns of each side, of {IMAGES_PER_TURN} images")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each side")
    parser.add_argument("--without-winclip", action="store_true", help="skip WinCLIP, which is slow")
    parser.add_argument("--quick", action="store_true", help="one draw, 10 + 10 images, 3 rounds, no WinCLIP")
    parser.add_argument("--json", type=Path, metavar="FILE", help="file for the results")
    options = parser.parse_args(arguments)
    if options.quick:
        options.seeds, options.limit, options.rounds, options.without_winclip = 1, 10, 3, True
    return options


if __name__ == "__main__":
    sys.exit(main())
