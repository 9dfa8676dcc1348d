"""What the benchmarks of the line share: their command line, and how figures are told."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

BenchmarkResults = Mapping[str, object]


def line_argument_parser(name: str, told: str) -> argparse.ArgumentParser:
    """Bus, detector and where to; the caller adds its own."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}", description=told, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_bus_arguments(parser)
    parser.add_argument("--detector", default="nearest-patch")
    parser.add_argument("--backbone", default="andon-tiny")
    parser.add_argument("--device", default="cpu")
    return parser


def add_bus_arguments(parser: argparse.ArgumentParser) -> None:
    """Which bus, how long, and where the figures go."""
    parser.add_argument("--bus", choices=["embedded", "kafka"], default="embedded")
    parser.add_argument("--bootstrap", default="", help="Kafka's host:port; without it a broker is started for the run")
    parser.add_argument("--quick", action="store_true", help="a small run, under a minute on a quiet machine")
    parser.add_argument("--json", type=Path, help="file for the figures")


def report_results(figures: BenchmarkResults, path: Path | None) -> None:
    """Print figures, and write them where asked."""
    told = json.dumps(figures, indent=2)
    print(told)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(told + "\n", encoding="utf-8")
