"""The command line and the report that the benchmarks share."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

BenchmarkResults = Mapping[str, object]


def line_argument_parser(name: str, description: str) -> argparse.ArgumentParser:
    """Return a parser with the options of bus, detector and report, for ``python -m benchmarks.line.NAME``."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.line.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_bus_arguments(parser)
    parser.add_argument("--detector", default="nearest-patch")
    parser.add_argument("--backbone", default="andon-tiny")
    parser.add_argument("--device", default="cpu")
    return parser


def add_bus_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the bus, the size of the run and the file of results."""
    parser.add_argument("--bus", choices=["embedded", "kafka"], default="embedded")
    parser.add_argument(
        "--bootstrap", default="", help="Kafka's host:port; without it, a broker is started for the run"
    )
    parser.add_argument("--quick", action="store_true", help="a small run, under a minute on a quiet machine")
    parser.add_argument("--json", type=Path, help="file for the results")


def report_results(results: BenchmarkResults, path: Path | None) -> None:
    """Print results as JSON, and write them to `path` if it is given."""
    report = json.dumps(results, indent=2)
    print(report)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(report + "\n", encoding="utf-8")
