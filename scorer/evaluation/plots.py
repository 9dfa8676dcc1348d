"""AUROC by the number of shots: one panel per dataset, one line per method. Nothing else imports matplotlib."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorer.evaluation.errors import EvaluationError
from scorer.evaluation.results_log import EvaluationMetrics, ResultKey
from scorer.evaluation.summary import MethodOnBackbone, SummaryRow, summarise_by_dataset, summarise_over_datasets

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#5a6876", "#17212b")
"""Okabe and Ito's colour-blind safe palette without its yellow, and two greys."""

MARKERS = "os^Dv<>P"
MARKER_SPACING = 1.012
"""The ratio between the abscissae of two lines, so that their error bars do not overlap."""

PANELS_PER_ROW = 3
PANEL_INCHES = (3.2, 2.5)
LEGEND_INCHES = 0.6
AXIS_COLOUR = "#5a6876"
PLOT_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "svg.fonttype": "none",  # text stays text, which keeps the files small
    "svg.hashsalt": "andon",  # equal data gives equal files
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": AXIS_COLOUR,
    "xtick.color": AXIS_COLOUR,
    "ytick.color": AXIS_COLOUR,
    "figure.facecolor": "white",
}


def plot_auroc_by_shots(metrics: Mapping[ResultKey, EvaluationMetrics], folder: Path, name: str) -> list[Path]:
    """Write an SVG file ``NAME-BACKBONE.svg`` for each backbone, and return their paths.

    Raises:
        EvaluationError: matplotlib is not installed.
    """
    try:
        import matplotlib.figure
    except ImportError as error:
        raise EvaluationError("Plots need matplotlib, which is not installed: pip install matplotlib.") from error
    rows = summarise_by_dataset(metrics)
    rows += summarise_over_datasets(metrics) if len({row.dataset for row in rows}) > 1 else []
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for backbone in dict.fromkeys(row.entry.backbone for row in rows):
        with matplotlib.rc_context(PLOT_STYLE):
            figure = _draw_figure([row for row in rows if row.entry.backbone == backbone])
            path = folder / f"{name}-{_slug(backbone)}.svg"
            figure.savefig(path, format="svg", metadata={"Date": None}, bbox_inches="tight")
        written.append(path)
    return written


def _draw_figure(rows: Sequence[SummaryRow]) -> "Figure":
    from matplotlib.figure import Figure

    datasets = list(dict.fromkeys(row.dataset for row in rows))
    entries = list(dict.fromkeys(row.entry for row in rows))
    panel_columns = min(PANELS_PER_ROW, len(datasets))
    panel_rows = math.ceil(len(datasets) / panel_columns)
    size = panel_columns * PANEL_INCHES[0], panel_rows * PANEL_INCHES[1] + LEGEND_INCHES
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(panel_rows, panel_columns, squeeze=False)
    for panel, dataset in zip(panels.flat, datasets, strict=False):
        _draw_panel(panel, [row for row in rows if row.dataset == dataset], entries)
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


def _draw_panel(panel: "Axes", rows: Sequence[SummaryRow], entries: Sequence[MethodOnBackbone]) -> None:
    shots = sorted({row.shots for row in rows})
    for index, entry in enumerate(entries):
        selected = sorted((row for row in rows if row.entry == entry), key=lambda row: row.shots)
        panel.errorbar(
            [row.shots * MARKER_SPACING ** (index - len(entries) / 2) for row in selected],
            [100 * row.auroc.mean for row in selected],
            [100 * row.auroc.std for row in selected],
            label=entry.method,
            color=PALETTE[index % len(PALETTE)],
            marker=MARKERS[index % len(MARKERS)],
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
