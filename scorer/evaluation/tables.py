"""The accuracy tables as text: for a terminal, and as markdown between two markers of a page."""

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

Value = Callable[[SummaryRow], MeanStd | None]

IMAGES: tuple[tuple[str, Value], ...] = (("AUROC", lambda line: line.auroc), ("AUPRC", lambda line: line.auprc))
PIXELS: tuple[tuple[str, Value], ...] = (
    ("pixel AUROC", lambda line: line.pixel_auroc),
    ("AUPRO", lambda line: line.aupro),
)

TEXT_COLUMNS = {"method", "backbone", "held out", "best on the others", "why"}
"""Columns that are no numbers."""


@dataclass(frozen=True, slots=True)
class TextTable:
    """A heading, columns and rows of text; `note` stands below."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def build_tables(cells: Mapping[ResultKey, EvaluationMetrics], missing: Mapping[str, str]) -> list[TextTable]:
    """Means over the datasets and the choice where there are several, thresholds, then every dataset."""
    lines = summarise_by_dataset(cells)
    datasets = list(dict.fromkeys(line.dataset for line in lines))
    tables = []
    if len(datasets) > 1:
        means = summarise_over_datasets(cells)
        tables += [_summary(f"Mean of {', '.join(datasets)}", means), _thresholds("Thresholds, the same mean", means)]
        auroc = auroc_by_dataset(lines)
        backbones = list(dict.fromkeys(entry.backbone for entry in auroc))
        every = [(one, {entry: by for entry, by in auroc.items() if entry.backbone == one}) for one in backbones]
        every = [*every, ("any backbone", auroc)] if len(every) > 1 else every
        tables += [_choice(name, choose_leaving_one_out(some)) for name, some in every if len(some) > 1]
    else:
        tables += [_summary(datasets[0], lines), _thresholds("Thresholds", lines)] if datasets else []
    if len(datasets) > 1:
        tables += [_dataset(name, [line for line in lines if line.dataset == name]) for name in datasets]
    if missing:
        rows = tuple((name, " ".join(reason.split())) for name, reason in missing.items())
        tables.append(TextTable("Not measured here", ("method", "why"), rows))
    return tables


def render_markdown(tables: Sequence[TextTable]) -> str:
    """Headings of the third level and pipe tables."""
    parts = []
    for table in tables:
        ruler = ["---" if column in TEXT_COLUMNS else "---:" for column in table.columns]
        rows = ["| " + " | ".join(cells) + " |" for cells in (table.columns, ruler, *table.rows)]
        parts.append("\n".join([f"### {table.title}", "", *rows, *(["", table.note] if table.note else [])]))
    return "\n\n".join(parts) + "\n"


def replace_between_markers(page: Path, name: str, text: str) -> None:
    """Replace what stands between ``<!-- NAME -->`` and ``<!-- end of NAME -->``; `EvaluationError` without them."""
    begins, ends = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    content = page.read_text(encoding="utf-8") if page.is_file() else ""
    before, found, rest = content.partition(begins)
    _, closed, after = rest.partition(ends)
    if not (found and closed):
        raise EvaluationError(
            f"{page} has no place for the tables; write two lines into it: {begins.strip()} and {ends}"
        )
    page.write_text(f"{before}{begins}\n{text}\n{ends}{after}", encoding="utf-8")


def _summary(title: str, lines: Sequence[SummaryRow]) -> TextTable:
    shots = sorted({line.shots for line in lines})
    means = (*IMAGES[1:], *(PIXELS if any(line.aupro for line in lines) else ()))
    columns = (
        "method",
        "backbone",
        *(f"AUROC {count}" for count in shots),
        *(("mean",) if len(shots) > 1 else ()),
        *(title for title, _ in means),
        "encode ms",
        "fit ms",
        "judge ms",
    )
    rows = []
    for entry, some in _by_entry(lines):
        last = some[-1]
        rows.append(
            (
                entry.method,
                entry.backbone,
                *_by_shots(some, shots, IMAGES[0][1]),
                *((f"**{_percent(_auroc(some))}**",) if len(shots) > 1 else ()),
                *(_over_shots(some, value) for _, value in means),
                f"{last.encode_ms:.1f}",
                f"{last.fit_ms:.0f}",
                f"{last.score_ms:.1f}",
            )
        )
    note = (
        f"In percent, mean ± deviation over {lines[0].draws} draws of the shots; AUPRC and pixel figures are means "
        f"over all numbers of shots. Milliseconds an image, but for fit: references of all shots, at {shots[-1]} shots."
    )
    return TextTable(title, columns, tuple(rows), note)


def _dataset(name: str, lines: Sequence[SummaryRow]) -> TextTable:
    shots = sorted({line.shots for line in lines})
    figures = (*IMAGES, *(PIXELS if any(line.aupro for line in lines) else ()))
    columns = ("method", "backbone", *(f"{title} {count}" for title, _ in figures for count in shots))
    rows = [
        (entry.method, entry.backbone, *(cell for _, value in figures for cell in _by_shots(some, shots, value)))
        for entry, some in _by_entry(lines)
    ]
    return TextTable(name, columns, tuple(rows))


def _thresholds(title: str, lines: Sequence[SummaryRow]) -> TextTable:
    shots = sorted({line.shots for line in lines})
    columns = (
        "method",
        "backbone",
        *(f"false rejects {count}" for count in shots),
        *(f"caught {count}" for count in shots),
        "log-score std",
    )
    rows = [
        (
            entry.method,
            entry.backbone,
            *_by_shots(some, shots, lambda line: line.flagged),
            *_by_shots(some, shots, lambda line: line.caught),
            "" if some[-1].log_score_std is None else f"{some[-1].log_score_std:.2f}",
        )
        for entry, some in _by_entry(lines)
    ]
    note = "Shares in percent above the threshold that the shots' own scores calibrate for 1 % false rejects."
    return TextTable(title, columns, tuple(rows), note)


def _choice(backbones: str, choices: Sequence[HeldOutChoice]) -> TextTable:
    rows = [
        (choice.held_out, choice.entry.method, choice.entry.backbone, _percent(choice.elsewhere), _percent(choice.here))
        for choice in choices
    ]
    mean = f"**{_percent(fmean(choice.here for choice in choices))}**"
    return TextTable(
        f"Chosen without the set it is tested on: {backbones}",
        ("held out", "best on the others", "backbone", "mean there", "here"),
        (*rows, ("mean", "", "", "", mean)),
        "AUROC in percent, mean of all numbers of shots.",
    )


def _by_entry(lines: Sequence[SummaryRow]) -> Iterator[tuple[MethodOnBackbone, list[SummaryRow]]]:
    """The best first; the lines of each by shots."""
    entries: dict[MethodOnBackbone, list[SummaryRow]] = {}
    for line in sorted(lines, key=lambda line: line.shots):
        entries.setdefault(line.entry, []).append(line)
    yield from sorted(entries.items(), key=lambda item: (-_auroc(item[1]), item[0]))


def _by_shots(lines: Sequence[SummaryRow], shots: Sequence[int], value: Value) -> Iterator[str]:
    found = {line.shots: value(line) for line in lines}
    for count in shots:
        spread = found.get(count)
        yield "" if spread is None else f"{_percent(spread.mean)} ± {_percent(spread.deviation)}"


def _over_shots(lines: Sequence[SummaryRow], value: Value) -> str:
    found = [spread.mean for line in lines if (spread := value(line)) is not None]
    return _percent(fmean(found)) if found else ""


def _auroc(lines: Sequence[SummaryRow]) -> float:
    return fmean(line.auroc.mean for line in lines)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
