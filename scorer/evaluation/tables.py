"""The accuracy tables as text: for a terminal, and as Markdown between two markers of a page."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from scorer.evaluation.errors import EvaluationError
from scorer.evaluation.results_log import EvaluationMetrics, ResultKey
from scorer.evaluation.summary import (
    HeldOutChoice,
    MeanStd,
    MethodOnBackbone,
    SummaryRow,
    auroc_by_dataset,
    choose_leaving_one_out,
    summarise_by_dataset,
    summarise_over_datasets,
)

Column = Callable[[SummaryRow], MeanStd | None]

IMAGE_COLUMNS: tuple[tuple[str, Column], ...] = (("AUROC", lambda row: row.auroc), ("AUPRC", lambda row: row.auprc))
PIXEL_COLUMNS: tuple[tuple[str, Column], ...] = (
    ("pixel AUROC", lambda row: row.pixel_auroc),
    ("AUPRO", lambda row: row.aupro),
)

TEXT_COLUMNS = {"method", "backbone", "held out", "best on the others", "reason"}
"""Columns that are aligned to the left, because they hold no numbers."""


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table of text with a title above and a note, if any, below."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def build_tables(metrics: Mapping[ResultKey, EvaluationMetrics], missing: Mapping[str, str]) -> list[TextTable]:
    """Return the tables of an evaluation.

    With several datasets they are the means, the thresholds, the held-out choices and each dataset; with one dataset
    its summary and thresholds. Last come the methods that are `missing`, with the reason.
    """
    rows = summarise_by_dataset(metrics)
    datasets = list(dict.fromkeys(row.dataset for row in rows))
    tables: list[TextTable] = []
    if len(datasets) > 1:
        means = summarise_over_datasets(metrics)
        tables += [_summary_table(f"Mean of {', '.join(datasets)}", means)]
        tables += [_threshold_table("Thresholds, the same mean", means)]
        tables += _choice_tables(auroc_by_dataset(rows))
        tables += [_dataset_table(name, [row for row in rows if row.dataset == name]) for name in datasets]
    elif datasets:
        tables += [_summary_table(datasets[0], rows), _threshold_table("Thresholds", rows)]
    if missing:
        reasons = tuple((name, " ".join(reason.split())) for name, reason in missing.items())
        tables.append(TextTable("Not evaluated here", ("method", "reason"), reasons))
    return tables


def render_markdown(tables: Sequence[TextTable]) -> str:
    """Return headings of the third level with pipe tables."""
    sections = []
    for table in tables:
        ruler = ["---" if column in TEXT_COLUMNS else "---:" for column in table.columns]
        lines = ["| " + " | ".join(cells) + " |" for cells in (table.columns, ruler, *table.rows)]
        sections.append("\n".join([f"### {table.title}", "", *lines, *(["", table.note] if table.note else [])]))
    return "\n\n".join(sections) + "\n"


def replace_between_markers(page: Path, name: str, text: str) -> None:
    """Replace the text of a page between ``<!-- NAME -->`` and ``<!-- end of NAME -->``.

    Raises:
        EvaluationError: The page lacks one of the markers.
    """
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    content = page.read_text(encoding="utf-8") if page.is_file() else ""
    before, found_start, rest = content.partition(start)
    _, found_end, after = rest.partition(end)
    if not (found_start and found_end):
        raise EvaluationError(f"{page} has no markers for the tables; add two lines to it: {start.strip()} and {end}")
    page.write_text(f"{before}{start}\n{text}\n{end}{after}", encoding="utf-8")


def _summary_table(title: str, rows: Sequence[SummaryRow]) -> TextTable:
    shots = sorted({row.shots for row in rows})
    mean_columns = (*IMAGE_COLUMNS[1:], *(PIXEL_COLUMNS if any(row.aupro for row in rows) else ()))
    columns = (
        "method",
        "backbone",
        *(f"AUROC {count}" for count in shots),
        *(("mean",) if len(shots) > 1 else ()),
        *(title for title, _ in mean_columns),
        "encode ms",
        "fit ms",
        "score ms",
    )
    cells = []
    for entry, selected in _by_entry(rows):
        most_shots = selected[-1]
        cells.append(
            (
                entry.method,
                entry.backbone,
                *_cells_by_shots(selected, shots, IMAGE_COLUMNS[0][1]),
                *((f"**{_percent(_mean_auroc(selected))}**",) if len(shots) > 1 else ()),
                *(_mean_over_shots(selected, column) for _, column in mean_columns),
                f"{most_shots.encode_ms:.1f}",
                f"{most_shots.fit_ms:.0f}",
                f"{most_shots.score_ms:.1f}",
            )
        )
    note = (
        f"In percent, mean ± standard deviation over {rows[0].draws} draws of the shots; AUPRC and pixel metrics are "
        "means over all numbers of shots. Milliseconds per image, except fit: references of all shots, at "
        f"{shots[-1]} shots."
    )
    return TextTable(title, columns, tuple(cells), note)


def _dataset_table(name: str, rows: Sequence[SummaryRow]) -> TextTable:
    shots = sorted({row.shots for row in rows})
    metrics = (*IMAGE_COLUMNS, *(PIXEL_COLUMNS if any(row.aupro for row in rows) else ()))
    columns = ("method", "backbone", *(f"{title} {count}" for title, _ in metrics for count in shots))
    cells = [
        (
            entry.method,
            entry.backbone,
            *(cell for _, column in metrics for cell in _cells_by_shots(selected, shots, column)),
        )
        for entry, selected in _by_entry(rows)
    ]
    return TextTable(name, columns, tuple(cells))


def _threshold_table(title: str, rows: Sequence[SummaryRow]) -> TextTable:
    shots = sorted({row.shots for row in rows})
    columns = (
        "method",
        "backbone",
        *(f"false rejects {count}" for count in shots),
        *(f"detected {count}" for count in shots),
        "log-score std",
    )
    cells = [
        (
            entry.method,
            entry.backbone,
            *_cells_by_shots(selected, shots, lambda row: row.false_reject_rate),
            *_cells_by_shots(selected, shots, lambda row: row.detection_rate),
            "" if selected[-1].log_score_std is None else f"{selected[-1].log_score_std:.2f}",
        )
        for entry, selected in _by_entry(rows)
    ]
    note = (
        "Good images and anomalies above the threshold, in percent of their kind; the threshold is calibrated on the "
        "shots' own scores for 1 % false rejects."
    )
    return TextTable(title, columns, tuple(cells), note)


def _choice_tables(auroc: Mapping[MethodOnBackbone, Mapping[str, float]]) -> Iterator[TextTable]:
    """Yield a table per backbone with several methods, and one over all backbones if there are several."""
    backbones = list(dict.fromkeys(entry.backbone for entry in auroc))
    for backbone in backbones:
        selected = {entry: by_dataset for entry, by_dataset in auroc.items() if entry.backbone == backbone}
        if len(selected) > 1:
            yield _choice_table(backbone, choose_leaving_one_out(selected))
    if len(backbones) > 1:
        yield _choice_table("any backbone", choose_leaving_one_out(auroc))


def _choice_table(backbones: str, choices: Sequence[HeldOutChoice]) -> TextTable:
    cells = [
        (
            choice.held_out,
            choice.entry.method,
            choice.entry.backbone,
            _percent(choice.others_auroc),
            _percent(choice.held_out_auroc),
        )
        for choice in choices
    ]
    mean = f"**{_percent(fmean(choice.held_out_auroc for choice in choices))}**"
    return TextTable(
        f"Chosen without the dataset it is tested on: {backbones}",
        ("held out", "best on the others", "backbone", "mean there", "here"),
        (*cells, ("mean", "", "", "", mean)),
        "AUROC in percent, mean of all numbers of shots.",
    )


def _by_entry(rows: Sequence[SummaryRow]) -> Iterator[tuple[MethodOnBackbone, list[SummaryRow]]]:
    """Yield every method with its rows by rising number of shots, the best method first."""
    entries: dict[MethodOnBackbone, list[SummaryRow]] = {}
    for row in sorted(rows, key=lambda row: row.shots):
        entries.setdefault(row.entry, []).append(row)
    yield from sorted(entries.items(), key=lambda item: (-_mean_auroc(item[1]), item[0]))


def _cells_by_shots(rows: Sequence[SummaryRow], shots: Sequence[int], column: Column) -> Iterator[str]:
    by_shots = {row.shots: column(row) for row in rows}
    for count in shots:
        value = by_shots.get(count)
        yield "" if value is None else f"{_percent(value.mean)} ± {_percent(value.std)}"


def _mean_over_shots(rows: Sequence[SummaryRow], column: Column) -> str:
    means = [value.mean for row in rows if (value := column(row)) is not None]
    return _percent(fmean(means)) if means else ""


def _mean_auroc(rows: Sequence[SummaryRow]) -> float:
    return fmean(row.auroc.mean for row in rows)


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f}"
