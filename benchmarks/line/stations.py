"""What a thousand stations cost beside one: frames of all of them mixed, each station with a normal set of its own.

``python -m benchmarks.line.stations [--bus embedded|kafka] [--quick] [--json FILE]``

As many frames go through the line all of one station, and one station after another, in turns. The ratio is the time a
frame takes with many over the time it takes with one; both have had their references computed before.
"""

import shutil
from pathlib import Path
from statistics import fmean

from benchmarks.line.benchmark_line import BenchmarkLine, benchmark_line, render_jpeg
from benchmarks.line.throughput import DIFFERENT_FRAMES, QUICK_DIFFERENT_FRAMES, engine_in_use, time_line
from benchmarks.machine import describe_machine
from benchmarks.reporting import line_argument_parser, report_results
from scorer.recipes.loader import references_budget_bytes
from scorer.settings import ScorerSettings

NORMALS = 4


def main() -> None:
    """Measure, print and, where asked, write the figures."""
    parser = line_argument_parser("stations", __doc__ or "")
    parser.add_argument("--stations", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--references-bytes", type=int, help="bound of references in memory; else the default")
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    asked = parser.parse_args()
    stations, frames = (40, 200) if asked.quick else (asked.stations, asked.frames)
    settings = ScorerSettings(
        detector=asked.detector,
        backbone=asked.backbone,
        device=asked.device,
        precision=asked.precision,
        max_references_bytes=asked.references_bytes,
    )
    pictures = [render_jpeg(number) for number in range(QUICK_DIFFERENT_FRAMES if asked.quick else DIFFERENT_FRAMES)]
    names = [f"s{number}" for number in range(stations)]
    with benchmark_line(asked.bus, asked.bootstrap, settings) as line:
        _stations(line, names, pictures)
        turns = [names[:1], names, names[:1]] if asked.quick else [names[:1], names, names[:1], names, names[:1]]
        took_s = [time_line(line, some, pictures, frames, first=turn * frames) for turn, some in enumerate(turns)]
        kept = sum(path.stat().st_size for path in Path(line.settings.references_path).rglob("*.safetensors"))
        shutil.rmtree(line.settings.references_path)
    one_s, many_s = fmean(took_s[::2]) / frames, fmean(took_s[1::2]) / frames
    figures = {
        "bus": asked.bus,
        "backbone": asked.backbone,
        "engine": engine_in_use(settings),
        "stations": stations,
        "normals_each": NORMALS,
        "frames": frames,
        "one_station_per_s": round(1 / one_s, 2),
        "many_stations_per_s": round(1 / many_s, 2),
        "ratio": round(many_s / one_s, 3),
        "references_on_disk_bytes": kept,
        "references_in_memory_at_most_bytes": references_budget_bytes(settings),
        "machine": describe_machine(),
    }
    report_results(figures, asked.json)


def _stations(line: BenchmarkLine, names: list[str], pictures: list[bytes]) -> None:
    """Each has a normal set of its own: other pictures, or the same ones in another choice."""
    for number, name in enumerate(names):
        step = 1 + number // len(pictures) % 11
        line.station(name, [pictures[(number + step * one) % len(pictures)] for one in range(NORMALS)])
    line.publish([(name, pictures[number % len(pictures)]) for number, name in enumerate(names)])
    line.drain()


if __name__ == "__main__":
    main()
