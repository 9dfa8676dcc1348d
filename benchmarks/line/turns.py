"""Compare the throughput of the line in two checkouts, run in turns: ``python -m benchmarks.line.turns OLD NEW``.

Each turn runs the throughput benchmark of both checkouts, one after the other, each in a process of its own with its
checkout as working directory and with this Python. The order alternates, so that a machine that becomes slower or
busier meanwhile affects both alike. The ratio is the median over the turns of new frames per second by old ones.
Options that this command does not know, such as ``--engine torch`` or ``--bus kafka``, go to both benchmarks.

The exit code is 1 when the ratio is below 0.97.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.machine import describe_machine
from benchmarks.reporting import report_results

GOAL_RATIO = 0.97
THROUGHPUT_MODULES = ("benchmarks.line.throughput", "benchmarks.pipeline")
"""Where a checkout has its throughput benchmark: today's name, and the former one."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Frames per second of both checkouts in one turn."""

    old_per_s: float
    new_per_s: float

    @property
    def ratio(self) -> float:
        """New frames per second by old ones."""
        return self.new_per_s / self.old_per_s


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the turns, print and write the results; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.line.turns",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("old", type=Path, metavar="OLD", help="checkout to compare with")
    parser.add_argument("new", type=Path, metavar="NEW", help="checkout to compare")
    parser.add_argument("--turns", type=int, default=5, help="how often both are run")
    parser.add_argument("--frames", type=int, help="frames per run; by default those of the benchmark's --quick form")
    parser.add_argument("--json", type=Path, help="file for the results")
    options, passed_on = parser.parse_known_args(arguments)
    passed_on += ["--quick"] if options.frames is None else ["--frames", str(options.frames)]
    turns = []
    for number in range(options.turns):
        turns.append(run_turn(options.old, options.new, passed_on, new_first=number % 2 == 1))
        print(f"turn {number + 1}: old {turns[-1].old_per_s:.2f}, new {turns[-1].new_per_s:.2f} frames/s", flush=True)
    ratio = median(turn.ratio for turn in turns)
    results = {
        "old_per_s": [turn.old_per_s for turn in turns],
        "new_per_s": [turn.new_per_s for turn in turns],
        "ratios": [round(turn.ratio, 3) for turn in turns],
        "ratio": round(ratio, 3),
        "goal_ratio": GOAL_RATIO,
        "machine": describe_machine(),
    }
    report_results(results, options.json)
    return 0 if ratio >= GOAL_RATIO else 1


def run_turn(old: Path, new: Path, options: Sequence[str], *, new_first: bool) -> Turn:
    """Run the throughput benchmark of both checkouts once."""
    if new_first:
        new_per_s = run_throughput(new, options)
        return Turn(run_throughput(old, options), new_per_s)
    return Turn(run_throughput(old, options), run_throughput(new, options))


def run_throughput(checkout: Path, options: Sequence[str]) -> float:
    """Return the line's frames per second in a checkout.

    Raises:
        RuntimeError: The checkout has no throughput benchmark, or the benchmark failed.
    """
    module = find_throughput_module(checkout)
    environment = os.environ | {"PYTHONPATH": str(checkout.resolve())}
    with TemporaryDirectory() as folder:
        results = Path(folder) / "results.json"
        run = subprocess.run(
            [sys.executable, "-m", module, *options, "--json", str(results)],
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            raise RuntimeError(f"{module} failed in {checkout}: {run.stderr.strip()[-500:]}")
        return float(json.loads(results.read_text(encoding="utf-8"))["line_per_s"])


def find_throughput_module(checkout: Path) -> str:
    """Return the module name of a checkout's throughput benchmark; raise RuntimeError if it has none."""
    for module in THROUGHPUT_MODULES:
        if (checkout / f"{module.replace('.', '/')}.py").is_file():
            return module
    raise RuntimeError(f"{checkout} has none of {', '.join(THROUGHPUT_MODULES)}; name the root of a checkout.")


if __name__ == "__main__":
    sys.exit(main())
