"""The plots and tables of docs/explanation/performance.md, from results that the line's benchmarks wrote with --json.

``python -m benchmarks.line.performance_page FOLDER [--markdown docs/explanation/performance.md] [--plots docs/images]``

FOLDER holds files named after the command and the bus, such as ``throughput-embedded.json`` or ``latency-kafka.json``;
tables without such a file stay as they are on the page.
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
"""A command's results by the rest of the file's name: a bus, or a bus and a backbone."""

LATENCY_GOALS_MS = {"embedded": 150, "kafka": 200}
BUS_GOAL_PER_S = 500
SLOPE_GOAL_MB = 1.0
PANEL_INCHES = (5.2, 2.6)


def main() -> None:
    """Read the results, plot them, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.line.performance_page", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--markdown", type=Path, default=Path("docs/explanation/performance.md"))
    parser.add_argument("--plots", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    for command, (table, plot) in PAGES.items():
        if not (runs := _runs(options.folder, command)):
            continue
        replace_between_markers(
            options.markdown, command, "\n".join([*table(runs), "", f"Measured on {_machines(runs)}."])
        )
        with matplotlib.rc_context(PLOT_STYLE):
            figure = Figure(figsize=PANEL_INCHES, layout="constrained")
            plot(figure.subplots(), runs)
            path = options.plots / f"performance-{command}.svg"
            figure.savefig(path, format="svg", metadata={"Date": None}, bbox_inches="tight")


def _runs(folder: Path, command: str) -> Runs:
    files = sorted(folder.glob(f"{command}-*.json"))
    return {file.stem.removeprefix(f"{command}-"): json.loads(file.read_text(encoding="utf-8")) for file in files}


def _machines(runs: Runs) -> str:
    """Return each machine once, with the range of its load."""
    loads: dict[str, list[float]] = {}
    for run in runs.values():
        found = re.search(r"load ([\d.]+)", run["machine"])
        loads.setdefault(re.sub(r"load [\d.]+", "load {}", run["machine"]), []).append(float(found[1]) if found else 0)
    return "; ".join(
        machine.replace("{}", " to ".join(dict.fromkeys(str(load) for load in (min(loads_of), max(loads_of)))))
        for machine, loads_of in loads.items()
    )


def _table(columns: Sequence[str], rows: Iterator[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"| --- |{' ---: |' * (len(columns) - 1)}"
    for row in rows:
        yield f"| {' | '.join(str(cell) for cell in row)} |"


def throughput_table(runs: Runs) -> Iterator[str]:
    """Yield the table of throughput, also relative to the bare network."""
    bare = ["bare on torch /s", "bare on the engine /s", "the same, as framed /s"]
    columns = ["line", "engine", *bare, "line /s", "of torch", "of the engine", "of the engine, as framed"]
    yield from _table(
        columns,
        (
            [
                f"{run['backbone']}, {run['bus']}",
                run["engine"],
                run["bare_torch_per_s"],
                run["bare_per_s"],
                run["bare_framed_per_s"],
                run["line_per_s"],
                run["ratio_to_torch"],
                run["ratio"],
                run["ratio_framed"],
            ]
            for run in runs.values()
        ),
    )


def throughput_plot(panel: Axes, runs: Runs) -> None:
    """Plot three bars per run."""
    kinds = {
        "bare_torch_per_s": "bare, torch",
        "bare_per_s": "bare, the selected engine",
        "line_per_s": "the whole line",
    }
    for index, (metric, label) in enumerate(kinds.items()):
        at = [number + 0.27 * (index - 1) for number in range(len(runs))]
        rates = [run[metric] / run["bare_torch_per_s"] for run in runs.values()]
        panel.bar(at, rates, 0.25, color=PALETTE[index], label=label)
    panel.axhline(0.9, color=AXIS_COLOUR, linewidth=0.8, linestyle="--")
    _named(
        panel,
        [
            "\n".join([fill(run["backbone"].removeprefix("openclip/"), 11), run["engine"].split()[-1], run["bus"]])
            for run in runs.values()
        ],
    )
    panel.set_ylabel("of bare torch's rate", color=AXIS_COLOUR)
    _legend(panel)


def stations_table(runs: Runs) -> Iterator[str]:
    """Yield the table of the time per frame with many stations relative to one station."""
    columns = ["bus", "engine", "stations", "one station, frames/s", "all, frames/s", "ratio (goal 1.10)", "references"]
    yield from _table(
        columns,
        (
            [
                run["bus"],
                run["engine"],
                run["stations"],
                run["one_station_per_s"],
                run["many_stations_per_s"],
                run["ratio"],
                f"{run['references_on_disk_bytes'] / 1e9:.1f} GB",
            ]
            for run in runs.values()
        ),
    )


def stations_plot(panel: Axes, runs: Runs) -> None:
    """Plot two bars per run."""
    for index, (metric, label) in enumerate(
        {"one_station_per_s": "one station", "many_stations_per_s": "a thousand"}.items()
    ):
        at = [number + 0.3 * (index - 0.5) for number in range(len(runs))]
        panel.bar(at, [run[metric] for run in runs.values()], 0.28, color=PALETTE[index], label=label)
    _named(panel, [f"{run['bus']}\n{run['engine']}" for run in runs.values()])
    panel.set_ylabel("frames per second", color=AXIS_COLOUR)
    _legend(panel)


def latency_table(runs: Runs) -> Iterator[str]:
    """Yield the table of percentiles, with the goal of the 99th."""
    columns = ["bus", "frames", "camera, frames/s", "p50 ms", "p90 ms", "p99 ms", "goal", "longest ms"]
    yield from _table(
        columns,
        (
            [
                run["bus"],
                run["frames"],
                run["camera_per_s"],
                run["p50_ms"],
                run["p90_ms"],
                run["p99_ms"],
                LATENCY_GOALS_MS[run["bus"]],
                run["longest_ms"],
            ]
            for run in runs.values()
        ),
    )


def latency_plot(panel: Axes, runs: Runs) -> None:
    """Plot the cumulative distribution of the latency."""
    for index, run in enumerate(runs.values()):
        panel.plot(run["ms_by_percent"], range(101), color=PALETTE[index], label=run["bus"])
        goal = LATENCY_GOALS_MS[run["bus"]]
        panel.axvline(goal, color=PALETTE[index], linewidth=0.8, linestyle="--")
    panel.set_xlabel("ms from trigger to committed verdict; dashed: goal for 99 %", color=AXIS_COLOUR)
    panel.set_ylabel("% of frames", color=AXIS_COLOUR)
    panel.set_xlim(left=0)
    _legend(panel)


BUS_FIGURES = {
    "concurrent_fps": "producer and consumer at once",
    "publish_fps": "publisher alone",
    "consume_fps": "consumer alone",
    "produce_fps": "producer with spool, alone",
    "produce_fps_one_station": "the same, one station",
}


def bus_table(runs: Runs) -> Iterator[str]:
    """Yield the table of frames per second."""
    rows = ([run["bus"], *(run[metric] for metric in BUS_FIGURES)] for run in runs.values())
    yield from _table(["bus", *BUS_FIGURES.values()], rows)


def bus_plot(panel: Axes, runs: Runs) -> None:
    """Plot concurrent throughput with its goal."""
    panel.bar(range(len(runs)), [run["concurrent_fps"] for run in runs.values()], 0.4, color=PALETTE[0])
    panel.axhline(BUS_GOAL_PER_S, color=AXIS_COLOUR, linewidth=0.8, linestyle="--")
    _named(panel, [run["bus"] for run in runs.values()])
    panel.set_ylabel("frames per second, produced and consumed", color=AXIS_COLOUR)


def soak_table(runs: Runs) -> Iterator[str]:
    """Yield the table of counts and memory growth."""
    columns = ["bus", "detector", "frames", "verdicts", "MB per 10,000 frames", "open files, first and last"]
    yield from _table(
        columns,
        (
            [
                run["bus"],
                run["detector"],
                f"{run['frames']:,}",
                f"{run['verdicts']:,}",
                run["rss_slope_mb_per_10000_frames"],
                f"{run['open_files_first']}, {run['open_files_last']}",
            ]
            for run in runs.values()
        ),
    )


def soak_plot(panel: Axes, runs: Runs) -> None:
    """Plot memory over frames."""
    for index, run in enumerate(runs.values()):
        done, megabytes, _ = zip(*run["samples"], strict=True)
        panel.plot(done, megabytes, color=PALETTE[index], label=run["bus"])
    panel.set_ylim(bottom=0)
    panel.set_xlabel("frames", color=AXIS_COLOUR)
    panel.set_ylabel("memory of the worker, MB", color=AXIS_COLOUR)
    _legend(panel)


def _named(panel: Axes, names: Sequence[str]) -> None:
    panel.set_xticks(range(len(names)), names)
    panel.set_xlim(-0.8, len(names) - 0.2)


def _legend(panel: Axes) -> None:
    """Draw the legend above the panel, where it covers nothing."""
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize=8)


PAGES: Mapping[str, tuple[Callable[[Runs], Iterator[str]], Callable[[Axes, Runs], None]]] = {
    "throughput": (throughput_table, throughput_plot),
    "stations": (stations_table, stations_plot),
    "latency": (latency_table, latency_plot),
    "bus": (bus_table, bus_plot),
    "soak": (soak_table, soak_plot),
}


if __name__ == "__main__":
    main()
