"""Write the plots and tables of docs/explanation/performance.md from the JSON that the benchmarks of the line wrote.

``python -m benchmarks.line.performance_page FOLDER [--markdown docs/explanation/performance.md] [--plots docs/images]``

FOLDER holds files named after the command and the bus, such as ``pipeline-embedded.json`` or ``latency-kafka.json``;
what is not there is left as it was on the page.
"""

import argparse
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scorer.evaluation.plots import AXIS_COLOUR, PALETTE, PLOT_STYLE
from scorer.evaluation.tables import replace_between_markers

Figures = Mapping[str, Any]
Runs = Mapping[str, Figures]
"""A command's figures by what its file is called after the command: a bus, or a bus and a backbone."""

LATENCY_GOALS_MS = {"embedded": 150, "kafka": 200}
BUS_GOAL_PER_S = 500
SLOPE_GOAL_MB = 1.0
PANEL_INCHES = (5.2, 2.6)


def main() -> None:
    """Read, draw and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.line.performance_page", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--markdown", type=Path, default=Path("docs/explanation/performance.md"))
    parser.add_argument("--plots", type=Path, default=Path("docs/images"))
    asked = parser.parse_args()
    for command, (table, plot) in PAGES.items():
        if not (runs := _runs(asked.folder, command)):
            continue
        replace_between_markers(
            asked.markdown, command, "\n".join([*table(runs), "", f"Measured on {_machines(runs)}."])
        )
        with matplotlib.rc_context(PLOT_STYLE):
            figure = Figure(figsize=PANEL_INCHES, layout="constrained")
            plot(figure.subplots(), runs)
            path = asked.plots / f"performance-{command}.svg"
            figure.savefig(path, format="svg", metadata={"Date": None}, bbox_inches="tight")


def _runs(folder: Path, command: str) -> Runs:
    files = sorted(folder.glob(f"{command}-*.json"))
    return {file.stem.removeprefix(f"{command}-"): json.loads(file.read_text(encoding="utf-8")) for file in files}


def _machines(runs: Runs) -> str:
    """Each machine once, with the load that its runs found there."""
    loads: dict[str, list[float]] = {}
    for run in runs.values():
        found = re.search(r"load ([\d.]+)", run["machine"])
        loads.setdefault(re.sub(r"load [\d.]+", "load {}", run["machine"]), []).append(float(found[1]) if found else 0)
    return "; ".join(
        machine.replace("{}", " to ".join(dict.fromkeys(str(one) for one in (min(told), max(told)))))
        for machine, told in loads.items()
    )


def _table(columns: Sequence[str], rows: Iterator[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"| --- |{' ---: |' * (len(columns) - 1)}"
    for row in rows:
        yield f"| {' | '.join(str(cell) for cell in row)} |"


def pipeline_table(runs: Runs) -> Iterator[str]:
    """Rates, and what is left of the bare network's."""
    bare = ["bare on torch /s", "bare on the engine /s", "the same, as framed /s"]
    columns = ["line", "engine", *bare, "line /s", "of torch", "of the engine", "of the engine, as framed"]
    yield from _table(
        columns,
        (
            [
                f"{one['backbone']}, {one['bus']}",
                one["engine"],
                one["bare_torch_per_s"],
                one["bare_per_s"],
                one["bare_framed_per_s"],
                one["line_per_s"],
                one["ratio_to_torch"],
                one["ratio"],
                one["ratio_framed"],
            ]
            for one in runs.values()
        ),
    )


def pipeline_plot(panel: Axes, runs: Runs) -> None:
    """Three bars a run."""
    kinds = {"bare_torch_per_s": "bare, torch", "bare_per_s": "bare, the engine chosen", "line_per_s": "the whole line"}
    for place, (figure, told) in enumerate(kinds.items()):
        at = [number + 0.27 * (place - 1) for number in range(len(runs))]
        rates = [one[figure] / one["bare_torch_per_s"] for one in runs.values()]
        panel.bar(at, rates, 0.25, color=PALETTE[place], label=told)
    panel.axhline(0.9, color=AXIS_COLOUR, linewidth=0.8, linestyle="--")
    _named(
        panel,
        [
            "\n".join([fill(one["backbone"].removeprefix("openclip/"), 11), one["engine"].split()[-1], one["bus"]])
            for one in runs.values()
        ],
    )
    panel.set_ylabel("of bare torch's rate", color=AXIS_COLOUR)
    _legend(panel)


def stations_table(runs: Runs) -> Iterator[str]:
    """What a frame costs with many stations over what it costs with one."""
    columns = ["bus", "engine", "stations", "one station, frames/s", "all, frames/s", "ratio (goal 1.10)", "references"]
    yield from _table(
        columns,
        (
            [
                one["bus"],
                one["engine"],
                one["stations"],
                one["one_station_per_s"],
                one["many_stations_per_s"],
                one["ratio"],
                f"{one['references_on_disk_bytes'] / 1e9:.1f} GB",
            ]
            for one in runs.values()
        ),
    )


def stations_plot(panel: Axes, runs: Runs) -> None:
    """Two bars a run."""
    for place, (figure, told) in enumerate(
        {"one_station_per_s": "one station", "many_stations_per_s": "a thousand"}.items()
    ):
        at = [number + 0.3 * (place - 0.5) for number in range(len(runs))]
        panel.bar(at, [one[figure] for one in runs.values()], 0.28, color=PALETTE[place], label=told)
    _named(panel, [f"{one['bus']}\n{one['engine']}" for one in runs.values()])
    panel.set_ylabel("frames a second", color=AXIS_COLOUR)
    _legend(panel)


def latency_table(runs: Runs) -> Iterator[str]:
    """Percentiles, with the goal of the last but one."""
    columns = ["bus", "frames", "camera, frames/s", "p50 ms", "p90 ms", "p99 ms", "goal", "longest ms"]
    yield from _table(
        columns,
        (
            [
                one["bus"],
                one["frames"],
                one["camera_per_s"],
                one["p50_ms"],
                one["p90_ms"],
                one["p99_ms"],
                LATENCY_GOALS_MS[one["bus"]],
                one["longest_ms"],
            ]
            for one in runs.values()
        ),
    )


def latency_plot(panel: Axes, runs: Runs) -> None:
    """How many frames have their verdict after so long."""
    for place, one in enumerate(runs.values()):
        panel.plot(one["ms_by_percent"], range(101), color=PALETTE[place], label=one["bus"])
        goal = LATENCY_GOALS_MS[one["bus"]]
        panel.axvline(goal, color=PALETTE[place], linewidth=0.8, linestyle="--")
    panel.set_xlabel("ms from trigger to committed verdict; dashed: goal for 99 %", color=AXIS_COLOUR)
    panel.set_ylabel("% of frames", color=AXIS_COLOUR)
    panel.set_xlim(left=0)
    _legend(panel)


BUS_FIGURES = {
    "at_once_fps": "in and out at once",
    "publish_fps": "publisher alone",
    "consume_fps": "reader alone",
    "produce_fps": "producer with spool, alone",
    "produce_fps_one_station": "the same, one station",
}


def bus_table(runs: Runs) -> Iterator[str]:
    """Frames a second."""
    rows = ([one["bus"], *(one[figure] for figure in BUS_FIGURES)] for one in runs.values())
    yield from _table(["bus", *BUS_FIGURES.values()], rows)


def bus_plot(panel: Axes, runs: Runs) -> None:
    """In and out at once, which has a goal."""
    panel.bar(range(len(runs)), [one["at_once_fps"] for one in runs.values()], 0.4, color=PALETTE[0])
    panel.axhline(BUS_GOAL_PER_S, color=AXIS_COLOUR, linewidth=0.8, linestyle="--")
    _named(panel, [one["bus"] for one in runs.values()])
    panel.set_ylabel("frames a second, in and out", color=AXIS_COLOUR)


def soak_table(runs: Runs) -> Iterator[str]:
    """Counts and growth."""
    columns = ["bus", "detector", "frames", "verdicts", "MB per 10,000 frames", "open files, first and last"]
    yield from _table(
        columns,
        (
            [
                one["bus"],
                one["detector"],
                f"{one['frames']:,}",
                f"{one['verdicts']:,}",
                one["rss_slope_mb_per_10000_frames"],
                f"{one['open_files_first']}, {one['open_files_last']}",
            ]
            for one in runs.values()
        ),
    )


def soak_plot(panel: Axes, runs: Runs) -> None:
    """Memory by frames."""
    for place, one in enumerate(runs.values()):
        done, megabytes, _ = zip(*one["samples"], strict=True)
        panel.plot(done, megabytes, color=PALETTE[place], label=one["bus"])
    panel.set_ylim(bottom=0)
    panel.set_xlabel("frames", color=AXIS_COLOUR)
    panel.set_ylabel("memory of the worker, MB", color=AXIS_COLOUR)
    _legend(panel)


def _named(panel: Axes, names: Sequence[str]) -> None:
    panel.set_xticks(range(len(names)), names)
    panel.set_xlim(-0.8, len(names) - 0.2)


def _legend(panel: Axes) -> None:
    """Above the panel, where nothing is drawn."""
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize=8)


PAGES: Mapping[str, tuple[Callable[[Runs], Iterator[str]], Callable[[Axes, Runs], None]]] = {
    "pipeline": (pipeline_table, pipeline_plot),
    "stations": (stations_table, stations_plot),
    "latency": (latency_table, latency_plot),
    "bus": (bus_table, bus_plot),
    "soak": (soak_table, soak_plot),
}


if __name__ == "__main__":
    main()
