"""Cells brought together: mean and deviation over the draws, means over datasets, and the choice that travels."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, pstdev

from scorer.evaluation.errors import EvaluationError
from scorer.evaluation.results_log import EvaluationMetrics, ResultKey


@dataclass(frozen=True, slots=True, order=True)
class MethodOnBackbone:
    """A line of the tables."""

    method: str
    backbone: str


@dataclass(frozen=True, slots=True)
class MeanStd:
    """Mean and standard deviation (of the population) over the draws of the shots."""

    mean: float
    deviation: float


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One entry on one dataset, or on the mean of several, at one number of shots; areas and shares in [0, 1].

    Times are medians, in milliseconds: encode and judge an image, fit all shots together.
    """

    entry: MethodOnBackbone
    dataset: str
    shots: int
    draws: int
    auroc: MeanStd
    auprc: MeanStd
    pixel_auroc: MeanStd | None
    aupro: MeanStd | None
    flagged: MeanStd
    caught: MeanStd
    log_score_std: float | None
    encode_ms: float
    score_ms: float
    fit_ms: float


@dataclass(frozen=True, slots=True)
class HeldOutChoice:
    """For one dataset: the entry that is best on all the others, by mean AUROC, and what it has on this one."""

    held_out: str
    entry: MethodOnBackbone
    elsewhere: float
    here: float


MEAN = "mean"


def summarise_by_dataset(cells: Mapping[ResultKey, EvaluationMetrics]) -> list[SummaryRow]:
    """A line for every entry, dataset and number of shots, in the cells' order."""
    found: dict[tuple[MethodOnBackbone, str, int], list[EvaluationMetrics]] = {}
    for key, figures in cells.items():
        found.setdefault((MethodOnBackbone(key.method, key.backbone), key.dataset, key.shots), []).append(figures)
    return [_line(*place, [[one] for one in figures]) for place, figures in found.items()]


def summarise_over_datasets(cells: Mapping[ResultKey, EvaluationMetrics]) -> list[SummaryRow]:
    """The mean over all datasets; its deviation is that of the draws' means. An entry that lacks one is left out."""
    datasets = {key.dataset for key in cells}
    found: dict[tuple[MethodOnBackbone, int], dict[int, list[EvaluationMetrics]]] = {}
    for key, figures in cells.items():
        found.setdefault((MethodOnBackbone(key.method, key.backbone), key.shots), {}).setdefault(key.seed, []).append(
            figures
        )
    whole = {
        place: draws for place, draws in found.items() if all(len(some) == len(datasets) for some in draws.values())
    }
    return [_line(entry, MEAN, shots, list(draws.values())) for (entry, shots), draws in whole.items()]


def auroc_by_dataset(lines: Iterable[SummaryRow]) -> dict[MethodOnBackbone, dict[str, float]]:
    """Mean AUROC over all numbers of shots, of each entry on each dataset."""
    found: dict[MethodOnBackbone, dict[str, list[float]]] = {}
    for line in lines:
        found.setdefault(line.entry, {}).setdefault(line.dataset, []).append(line.auroc.mean)
    return {entry: {name: fmean(values) for name, values in by.items()} for entry, by in found.items()}


def choose_leaving_one_out(auroc: Mapping[MethodOnBackbone, Mapping[str, float]]) -> list[HeldOutChoice]:
    """Hold out each dataset in turn and choose the entry with the best mean on the others; ties by name.

    What the choices have on what was held out says how a choice made on these datasets travels. Entries that lack a
    dataset are no candidates. Raises `EvaluationError` for fewer than two datasets.
    """
    datasets = sorted({name for by in auroc.values() for name in by})
    if len(datasets) < 2:
        raise EvaluationError("A choice that leaves one dataset out needs at least two of them.")
    candidates = {entry: by for entry, by in auroc.items() if len(by) == len(datasets)}
    choices = []
    for held_out in datasets:
        elsewhere = {
            entry: fmean(by[name] for name in datasets if name != held_out) for entry, by in candidates.items()
        }
        best = min(elsewhere, key=lambda entry: (-elsewhere[entry], entry))
        choices.append(HeldOutChoice(held_out, best, elsewhere[best], candidates[best][held_out]))
    return choices


def _line(
    entry: MethodOnBackbone, dataset: str, shots: int, draws: Sequence[Sequence[EvaluationMetrics]]
) -> SummaryRow:
    """`draws`: of each draw the figures to average, one a dataset."""

    def spread(value: Callable[[EvaluationMetrics], float]) -> MeanStd:
        means = [fmean(value(one) for one in draw) for draw in draws]
        return MeanStd(fmean(means), pstdev(means))

    def of_masks(value: Callable[[EvaluationMetrics], float | None]) -> MeanStd | None:
        means = [
            fmean(some) for draw in draws if (some := [found for one in draw if (found := value(one)) is not None])
        ]
        return MeanStd(fmean(means), pstdev(means)) if means else None

    every = [one for draw in draws for one in draw]
    log_spreads = [one.log_score_std for one in every if one.log_score_std is not None]
    return SummaryRow(
        entry=entry,
        dataset=dataset,
        shots=shots,
        draws=len(draws),
        auroc=spread(lambda one: one.auroc),
        auprc=spread(lambda one: one.auprc),
        pixel_auroc=of_masks(lambda one: one.pixel_auroc),
        aupro=of_masks(lambda one: one.aupro),
        flagged=spread(lambda one: one.flagged),
        caught=spread(lambda one: one.caught),
        log_score_std=fmean(log_spreads) if log_spreads else None,
        encode_ms=median(one.encode_ms for one in every),
        score_ms=median(one.score_ms for one in every),
        fit_ms=median(one.fit_ms for one in every),
    )
