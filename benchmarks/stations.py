"""What a thousand stations cost beside one: frames of all of them mixed, each station with a normal set of its own.

``python -m benchmarks.stations [--bus embedded|kafka] [--quick] [--json FILE]``

As many frames go through the line all of one station, and one station after another, in turns. The ratio is the time a
frame takes with many over the time it takes with one; both have had their references computed before.
"""

import shutil
from pathlib import Path
from statistics import fmean

from benchmarks.figures import arguments, tell
from benchmarks.lines import BenchmarkLine, benchmark_line, photograph
from benchmarks.machine import machine
from benchmarks.pipeline import DIFFERENT_FRAMES, QUICK_DIFFERENT_FRAMES, engine_of, line_s
from scorer.settings import ScorerSettings
from scorer.standards import most_references_bytes

NORMALS = 4


def main() -> None:
    """Measure, print and, where asked, write the figures."""
    parser = arguments("stations", __doc__ or "")
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
    pictures = [photograph(number) for number in range(QUICK_DIFFERENT_FRAMES if asked.quick else DIFFERENT_FRAMES)]
    names = [f"s{number}" for number in range(stations)]
    with benchmark_line(asked.bus, asked.bootstrap, settings) as line:
        _stations(line, names, pictures)
        turns = [names[:1], names, names[:1]] if asked.quick else [names[:1], names, names[:1], names, names[:1]]
        took_s = [line_s(line, some, pictures, frames, first=turn * frames) for turn, some in enumerate(turns)]
        kept = sum(path.stat().st_size for path in Path(line.settings.references_path).rglob("*.safetensors"))
        shutil.rmtree(line.settings.references_path)
    one_s, many_s = fmean(took_s[::2]) / frames, fmean(took_s[1::2]) / frames
    figures = {
        "bus": asked.bus,
        "backbone": asked.backbone,
        "engine": engine_of(settings),
        "stations": stations,
        "normals_each": NORMALS,
        "frames": frames,
        "one_station_per_s": round(1 / one_s, 2),
        "many_stations_per_s": round(1 / many_s, 2),
        "ratio": round(many_s / one_s, 3),
        "references_on_disk_bytes": kept,
        "references_in_memory_at_most_bytes": most_references_bytes(settings),
        "machine": machine(),
    }
    tell(figures, asked.json)


def _stations(line: BenchmarkLine, names: list[str], pictures: list[bytes]) -> None:
    """Each has a normal set of its own: other pictures, or the same ones in another choice."""
    for number, name in enumerate(names):
        step = 1 + number // len(pictures) % 11
        line.station(name, [pictures[(number + step * one) % len(pictures)] for one in range(NORMALS)])
    line.publish([(name, pictures[number % len(pictures)]) for number, name in enumerate(names)])
    line.drain()


if __name__ == "__main__":
    main()
