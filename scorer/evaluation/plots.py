"""AUROC by the number of shots: one small panel a dataset, one line an entry. The only place that knows matplotlib."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorer.evaluation.errors import EvaluationError
from scorer.evaluation.results_log import EvaluationMetrics, ResultKey
from scorer.evaluation.summary import MethodOnBackbone, SummaryRow, summarise_by_dataset, summarise_over_datasets

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#5a6876", "#17212b")
"""Okabe and Ito's palette, which stays apart for colour-blind people, without its yellow."""

MARKERS = "os^Dv<>P"
MARKER_SPACING = 1.012
"""Lines stand beside each other by this ratio, so that deviations can be told apart."""

PANELS_PER_ROW = 3
PANEL_INCHES = (3.2, 2.5)
LEGEND_INCHES = 0.6
AXIS_COLOUR = "#5a6876"
PLOT_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "svg.fonttype": "none",  # words stay words, which keeps the files small
    "svg.hashsalt": "andon",  # equal figures give equal files
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": AXIS_COLOUR,
    "xtick.color": AXIS_COLOUR,
    "ytick.color": AXIS_COLOUR,
    "figure.facecolor": "white",
}


def plot_auroc_by_shots(cells: Mapping[ResultKey, EvaluationMetrics], folder: Path, name: str) -> list[Path]:
    """Write an SVG for each backbone, and return where they are; raises `EvaluationError` without matplotlib."""
    try:
        import matplotlib.figure
    except ImportError as error:
        raise EvaluationError("Plots need matplotlib, which is not installed: pip install matplotlib.") from error
    lines = summarise_by_dataset(cells)
    several = len({line.dataset for line in lines}) > 1
    lines += summarise_over_datasets(cells) if several else []
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for backbone in dict.fromkeys(line.entry.backbone for line in lines):
        with matplotlib.rc_context(PLOT_STYLE):
            figure = _figure([line for line in lines if line.entry.backbone == backbone])
            path = folder / f"{name}-{_slug(backbone)}.svg"
            figure.savefig(path, format="svg", metadata={"Date": None}, bbox_inches="tight")
        written.append(path)
    return written


def _figure(lines: Sequence[SummaryRow]) -> Any:
    from matplotlib.figure import Figure

    datasets = list(dict.fromkeys(line.dataset for line in lines))
    entries = list(dict.fromkeys(line.entry for line in lines))
    columns = min(PANELS_PER_ROW, len(datasets))
    rows = math.ceil(len(datasets) / columns)
    size = columns * PANEL_INCHES[0], rows * PANEL_INCHES[1] + LEGEND_INCHES
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel, dataset in zip(panels.flat, datasets, strict=False):
        _panel(panel, [line for line in lines if line.dataset == dataset], entries)
        panel.set_title(dataset, loc="left", fontsize=10)
    for panel in panels.flat[len(datasets) :]:
        panel.set_visible(False)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False)
    for panel in panels[-1]:
        panel.set_xlabel("normal images", color=AXIS_COLOUR)
    for panel in panels[:, 0]:
        panel.set_ylabel("image AUROC, %", color=AXIS_COLOUR)
    return figure


def _panel(panel: "Axes", lines: Sequence[SummaryRow], entries: Sequence[MethodOnBackbone]) -> None:
    shots = sorted({line.shots for line in lines})
    for place, entry in enumerate(entries):
        own = sorted((line for line in lines if line.entry == entry), key=lambda line: line.shots)
        panel.errorbar(
            [line.shots * MARKER_SPACING ** (place - len(entries) / 2) for line in own],
            [100 * line.auroc.mean for line in own],
            [100 * line.auroc.deviation for line in own],
            label=entry.method,
            color=PALETTE[place % len(PALETTE)],
            marker=MARKERS[place % len(MARKERS)],
            markersize=4,
            linewidth=1.4,
            elinewidth=0.6,
        )
    panel.set_xscale("log", base=2)
    panel.set_xticks(shots, [str(count) for count in shots])
    panel.minorticks_off()
    panel.grid(axis="y", color="#d8dee5", linewidth=0.6)


def _slug(name: str) -> str:
    return "-".join("".join(letter if letter.isalnum() else " " for letter in name).split())
