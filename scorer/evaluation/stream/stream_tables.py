"""Tables of simulated first days: the mean of the datasets, and each dataset."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, pstdev

from scorer.evaluation.stream.simulation import StreamKey, StreamMetrics
from scorer.evaluation.tables import TextTable

COLUMNS = ("normals", "defects in the stream", "frames", "answers", "caught", "good flagged", "AUROC", "found")
Value = Callable[[StreamMetrics], float]
VALUES: Sequence[Value] = (
    lambda metrics: metrics.caught,
    lambda metrics: metrics.false_rejects,
    lambda metrics: metrics.auroc,
)
NOTE = (
    "Percent, and ± the standard deviation over the draws. Frames 0 is the station as it starts. A dataset with fewer "
    "images has a shorter stream. Found are the defects that people met while they answered."
)


def stream_tables(results: Mapping[StreamKey, StreamMetrics]) -> list[TextTable]:
    """Return the mean over datasets, where there are several, and a table per dataset."""
    datasets = list(dict.fromkeys(key.dataset for key in results))
    tables = [
        _table(name, {key: metrics for key, metrics in results.items() if key.dataset == name}) for name in datasets
    ]
    if len(datasets) > 1:
        tables.insert(0, _table(f"Mean of {', '.join(datasets)}", results))
    return tables


def _table(title: str, results: Mapping[StreamKey, StreamMetrics]) -> TextTable:
    settings = dict.fromkeys((key.normals, key.defect_rate, key.frames, key.answers) for key in results)
    rows = []
    for normals, rate, frames, answers in settings:
        chosen = {
            key: metrics
            for key, metrics in results.items()
            if (key.normals, key.defect_rate, key.frames, key.answers) == (normals, rate, frames, answers)
        }
        found = f"{_mean_and_std(chosen, lambda metrics: metrics.found)[0]:.1f}"
        cells = [_percent(*_mean_and_std(chosen, value)) for value in VALUES]
        rows.append((str(normals), f"{100 * rate:g} %", str(frames), str(answers), *cells, found))
    return TextTable(title, COLUMNS, tuple(rows), NOTE)


def _mean_and_std(results: Mapping[StreamKey, StreamMetrics], value: Value) -> tuple[float, float]:
    """Return the mean over datasets of the mean over draws, and the deviation of that mean from draw to draw."""
    by_seed: dict[int, list[float]] = {}
    for key, metrics in results.items():
        by_seed.setdefault(key.seed, []).append(value(metrics))
    means = [fmean(values) for values in by_seed.values()]
    return fmean(means), pstdev(means)


def _percent(mean: float, std: float) -> str:
    return f"{100 * mean:.1f} ± {100 * std:.1f}"
