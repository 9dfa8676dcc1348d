"""Compare the throughput of a thousand stations, each with a normal set of its own, with that of one station.

``python -m benchmarks.line.stations [--bus embedded|kafka] [--quick] [--json FILE]``

The same number of frames goes through the line from one station and from all stations in turn; the two alternate. The
ratio is the time per frame with many stations over that with one; all references are computed before.
"""

import shutil
from pathlib import Path
from statistics import fmean

from benchmarks.line.benchmark_line import BenchmarkLine, benchmark_line, render_jpeg
from benchmarks.line.throughput import DIFFERENT_FRAMES, QUICK_DIFFERENT_FRAMES, engine_in_use, time_line
from benchmarks.machine import describe_machine
from benchmarks.reporting import line_argument_parser, report_results
from scorer.recipes.station_normals import references_budget_bytes
from scorer.settings import ScorerSettings

NORMALS = 4


def main() -> None:
    """Measure, print and, with --json, write the results."""
    parser = line_argument_parser("stations", __doc__ or "")
    parser.add_argument("--stations", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument(
        "--references-bytes", type=int, help="the most bytes of references in memory; by default the setting's"
    )
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    options = parser.parse_args()
    stations, frames = (40, 200) if options.quick else (options.stations, options.frames)
    settings = ScorerSettings(
        detector=options.detector,
        backbone=options.backbone,
        device=options.device,
        precision=options.precision,
        max_references_bytes=options.references_bytes,
    )
    images = [render_jpeg(number) for number in range(QUICK_DIFFERENT_FRAMES if options.quick else DIFFERENT_FRAMES)]
    names = [f"s{number}" for number in range(stations)]
    with benchmark_line(options.bus, options.bootstrap, settings) as line:
        _add_stations(line, names, images)
        turns = [names[:1], names, names[:1]] if options.quick else [names[:1], names, names[:1], names, names[:1]]
        took_s = [
            time_line(line, names_of_turn, images, frames, first=turn * frames)
            for turn, names_of_turn in enumerate(turns)
        ]
        references_bytes = sum(
            path.stat().st_size for path in Path(line.settings.references_path).rglob("*.safetensors")
        )
        shutil.rmtree(line.settings.references_path)
    one_s, many_s = fmean(took_s[::2]) / frames, fmean(took_s[1::2]) / frames
    results = {
        "bus": options.bus,
        "backbone": options.backbone,
        "engine": engine_in_use(settings),
        "stations": stations,
        "normals_each": NORMALS,
        "frames": frames,
        "one_station_per_s": round(1 / one_s, 2),
        "many_stations_per_s": round(1 / many_s, 2),
        "ratio": round(many_s / one_s, 3),
        "references_on_disk_bytes": references_bytes,
        "references_in_memory_at_most_bytes": references_budget_bytes(settings),
        "machine": describe_machine(),
    }
    report_results(results, options.json)


def _add_stations(line: BenchmarkLine, names: list[str], images: list[bytes]) -> None:
    """Add stations, each with another choice of images as its normal set, and compute their references."""
    for number, name in enumerate(names):
        step = 1 + number // len(images) % 11
        line.add_station(name, [images[(number + step * index) % len(images)] for index in range(NORMALS)])
    line.publish([(name, images[number % len(images)]) for number, name in enumerate(names)])
    line.drain()


if __name__ == "__main__":
    main()
