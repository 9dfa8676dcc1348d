"""Results summarised: mean and standard deviation over draws, means over datasets, and leave-one-dataset-out choice."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, pstdev

from scorer.evaluation.errors import EvaluationError
from scorer.evaluation.results_log import EvaluationMetrics, ResultKey


@dataclass(frozen=True, slots=True, order=True)
class MethodOnBackbone:
    """The key of a row of the tables: a method spec and the name of a backbone."""

    method: str
    backbone: str


@dataclass(frozen=True, slots=True)
class MeanStd:
    """Mean and population standard deviation over the draws of the shots."""

    mean: float
    std: float


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One method on one dataset, or on the mean of all datasets, at one number of shots.

    Areas and rates are in [0, 1], as in `EvaluationMetrics`. Times are medians in milliseconds: encode and score per
    image, fit for all shots together.
    """

    entry: MethodOnBackbone
    dataset: str
    shots: int
    draws: int
    auroc: MeanStd
    auprc: MeanStd
    pixel_auroc: MeanStd | None
    aupro: MeanStd | None
    false_reject_rate: MeanStd
    detection_rate: MeanStd
    log_score_std: float | None
    encode_ms: float
    score_ms: float
    fit_ms: float


@dataclass(frozen=True, slots=True)
class HeldOutChoice:
    """The choice for one held-out dataset.

    Attributes:
        held_out: The dataset that the choice was made without.
        entry: The method with the best mean AUROC on the other datasets.
        others_auroc: That mean.
        held_out_auroc: The AUROC of the choice on the held-out dataset.
    """

    held_out: str
    entry: MethodOnBackbone
    others_auroc: float
    held_out_auroc: float


MEAN = "mean"
"""In place of a dataset's name in rows that are means over datasets."""


def summarise_by_dataset(metrics: Mapping[ResultKey, EvaluationMetrics]) -> list[SummaryRow]:
    """Return a row for every method, dataset and number of shots, in the order of the results."""
    groups: dict[tuple[MethodOnBackbone, str, int], list[EvaluationMetrics]] = {}
    for key, draw in metrics.items():
        groups.setdefault((MethodOnBackbone(key.method, key.backbone), key.dataset, key.shots), []).append(draw)
    return [_summarise(*group, [[draw] for draw in draws]) for group, draws in groups.items()]


def summarise_over_datasets(metrics: Mapping[ResultKey, EvaluationMetrics]) -> list[SummaryRow]:
    """Return a row of means over all datasets for every method and number of shots.

    Its standard deviation is that of the draws' means. A method that lacks a dataset has no row.
    """
    dataset_count = len({key.dataset for key in metrics})
    groups: dict[tuple[MethodOnBackbone, int], dict[int, list[EvaluationMetrics]]] = {}
    for key, draw in metrics.items():
        by_seed = groups.setdefault((MethodOnBackbone(key.method, key.backbone), key.shots), {})
        by_seed.setdefault(key.seed, []).append(draw)
    return [
        _summarise(entry, MEAN, shots, list(by_seed.values()))
        for (entry, shots), by_seed in groups.items()
        if all(len(datasets) == dataset_count for datasets in by_seed.values())
    ]


def auroc_by_dataset(rows: Iterable[SummaryRow]) -> dict[MethodOnBackbone, dict[str, float]]:
    """Return the mean AUROC over all numbers of shots, by method and dataset."""
    found: dict[MethodOnBackbone, dict[str, list[float]]] = {}
    for row in rows:
        found.setdefault(row.entry, {}).setdefault(row.dataset, []).append(row.auroc.mean)
    return {entry: {name: fmean(values) for name, values in by_dataset.items()} for entry, by_dataset in found.items()}


def choose_leaving_one_out(auroc: Mapping[MethodOnBackbone, Mapping[str, float]]) -> list[HeldOutChoice]:
    """Hold out each dataset in turn and choose the method with the best mean on the others; ties go by name.

    The held-out AUROC of the choices estimates how a choice made on these datasets transfers to another one. A method
    that lacks a dataset cannot be chosen.

    Raises:
        EvaluationError: There are fewer than two datasets.
    """
    datasets = sorted({name for by_dataset in auroc.values() for name in by_dataset})
    if len(datasets) < 2:
        raise EvaluationError("Choosing with one dataset held out needs at least two datasets; name another.")
    complete = {entry: by_dataset for entry, by_dataset in auroc.items() if len(by_dataset) == len(datasets)}
    choices = []
    for held_out in datasets:
        others_auroc = {
            entry: fmean(by_dataset[name] for name in datasets if name != held_out)
            for entry, by_dataset in complete.items()
        }
        best = min(others_auroc, key=lambda entry: (-others_auroc[entry], entry))
        choices.append(HeldOutChoice(held_out, best, others_auroc[best], complete[best][held_out]))
    return choices


def _summarise(
    entry: MethodOnBackbone, dataset: str, shots: int, draws: Sequence[Sequence[EvaluationMetrics]]
) -> SummaryRow:
    """Summarise draws, each of which holds the metrics to average: one per dataset."""

    def mean_std(value: Callable[[EvaluationMetrics], float]) -> MeanStd:
        means = [fmean(value(metrics) for metrics in draw) for draw in draws]
        return MeanStd(fmean(means), pstdev(means))

    def mean_std_if_any(value: Callable[[EvaluationMetrics], float | None]) -> MeanStd | None:
        known = [[found for metrics in draw if (found := value(metrics)) is not None] for draw in draws]
        means = [fmean(values) for values in known if values]
        return MeanStd(fmean(means), pstdev(means)) if means else None

    every = [metrics for draw in draws for metrics in draw]
    log_score_stds = [metrics.log_score_std for metrics in every if metrics.log_score_std is not None]
    return SummaryRow(
        entry=entry,
        dataset=dataset,
        shots=shots,
        draws=len(draws),
        auroc=mean_std(lambda metrics: metrics.auroc),
        auprc=mean_std(lambda metrics: metrics.auprc),
        pixel_auroc=mean_std_if_any(lambda metrics: metrics.pixel_auroc),
        aupro=mean_std_if_any(lambda metrics: metrics.aupro),
        false_reject_rate=mean_std(lambda metrics: metrics.false_reject_rate),
        detection_rate=mean_std(lambda metrics: metrics.detection_rate),
        log_score_std=fmean(log_score_stds) if log_score_stds else None,
        encode_ms=median(metrics.encode_ms for metrics in every),
        score_ms=median(metrics.score_ms for metrics in every),
        fit_ms=median(metrics.fit_ms for metrics in every),
    )
