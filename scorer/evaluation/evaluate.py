"""Measure cells: every method on every dataset, number of shots and seed, skipping those that are remembered."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from statistics import fmean, median

import numpy as np
import numpy.typing as npt
import torch

from scorer.detectors.patch_detector import ENCODE_BATCH_SIZE, PatchDetector, crops_padding
from scorer.detectors.protocol import Detector, References, Scores
from scorer.engines.devices import resolve_device, usable_cores
from scorer.errors import ModelUnavailable, UnsupportedBackbone
from scorer.evaluation.datasets import Dataset, read_dataset, read_image
from scorer.evaluation.errors import EvaluationError
from scorer.evaluation.metrics import auroc, average_precision
from scorer.evaluation.pixel_ground_truth import PixelGroundTruth, evaluate_maps, read_ground_truth
from scorer.evaluation.results_log import EvaluationMetrics, ResultKey, ResultsLog
from scorer.evaluation.specs import (
    BUILT_IN_BACKBONE,
    CLIP_PREFIX,
    BackboneSetup,
    is_patch_method,
    load_backbone_setup,
    load_patch_detector,
    load_whole_image_detector,
)
from scorer.evaluation.timing import Timer, timer_for
from scorer.evaluation.token_cache import TokenCache
from scorer.imaging.framing import Framing
from scorer.recipes.calibration import calibrate
from scorer.settings import ScorerSettings
from storage.line.decision import decide

FALSE_REJECT_RATE = 0.01
"""What thresholds are calibrated for: a station's default."""


@dataclass(frozen=True, slots=True)
class EvaluationConfig:
    """What is to be measured: every method on every backbone, folder, number of shots and seed from 0.

    tokens: a folder to keep tokens in, so that a later run need not encode again.
    """

    folders: tuple[Path, ...]
    methods: tuple[str, ...]
    backbones: tuple[str, ...]
    framing: Framing
    shots: tuple[int, ...]
    seeds: int
    limit: int | None = None
    tokens: Path | None = None


@dataclass(slots=True)
class EvaluationResults:
    """All cells that were asked for, in order, and the methods that can't be measured here, each with the reason."""

    cells: dict[ResultKey, EvaluationMetrics] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Exam:
    """One detector before one dataset: how it learns normals, and scores pictures in how many milliseconds."""

    references: Callable[[Sequence[Path]], References]
    scores: Callable[[Sequence[Path], References], tuple[Scores, float]]
    encode_ms: Callable[[], float]
    clock: Timer


def measure(
    asked: EvaluationConfig,
    journal: ResultsLog,
    settings: ScorerSettings,
    advance: Callable[[int], None] = lambda _: None,
) -> EvaluationResults:
    """Measure what the journal doesn't have; `advance` is told the number of cells done, remembered ones included.

    Raises `EvaluationError` for folders or words that nothing can be measured with, before anything is measured.
    """
    torch.set_num_threads(settings.torch_threads or usable_cores())
    datasets = [read_dataset(folder, asked.limit) for folder in asked.folders]
    for dataset in datasets:
        dataset.draw(max(asked.shots), 0)
    measured = EvaluationResults()
    for key, figures in _cells(asked, datasets, journal, settings, measured.missing):
        measured.cells[key] = figures
        advance(len(measured.cells))
    return measured


def _cells(
    asked: EvaluationConfig,
    datasets: Sequence[Dataset],
    journal: ResultsLog,
    settings: ScorerSettings,
    missing: dict[str, str],
) -> Iterator[tuple[ResultKey, EvaluationMetrics]]:
    on_patches = [word for word in asked.methods if is_patch_method(word)]
    for backbone in asked.backbones if on_patches else ():
        ground = load_backbone_setup(backbone, asked.framing, settings)
        clock = timer_for(ground.backbone.device)
        for dataset in datasets:
            truth = _Once(dataset, settings)
            shelf: TokenCache | None = None
            exact: TokenCache | None = None
            for word in on_patches:
                try:
                    detector = load_patch_detector(word, dataset.name, ground, settings)
                except (ModelUnavailable, UnsupportedBackbone) as error:
                    missing[f"{word} on {ground.backbone.name}"] = str(error)
                    continue
                # Tokens are the ground's, whichever method asks.
                shelf = shelf or TokenCache(detector.patches, settings, clock, _tokens_of(asked, ground, dataset))
                if ground.exact is not None:
                    exact = exact or TokenCache(detector.exact_patches, settings, clock)
                exam = _on_tokens(detector, shelf, exact, clock)
                yield from _of_one(asked, dataset, word, detector, ground.backbone.name, exam, truth, journal)
    for word in (word for word in asked.methods if not is_patch_method(word)):
        for dataset in datasets:
            yield from _of_whole(asked, word, dataset, journal, settings, missing)


def _of_whole(
    asked: EvaluationConfig,
    word: str,
    dataset: Dataset,
    journal: ResultsLog,
    settings: ScorerSettings,
    missing: dict[str, str],
) -> Iterator[tuple[ResultKey, EvaluationMetrics]]:
    """A detector that compares more than patches: on each CLIP that was asked for, else on what it brings."""
    clips: list[str | None] = [backbone for backbone in asked.backbones if backbone.startswith(CLIP_PREFIX)]
    for clip in clips or [None]:
        try:
            whole = load_whole_image_detector(word, dataset.name, clip, asked.framing, settings)
        except (ModelUnavailable, UnsupportedBackbone) as error:
            missing[word if clip is None else f"{word} on {clip}"] = str(error)
            continue
        clock = timer_for(resolve_device(settings.device))
        exam = _on_pictures(whole, dataset.name.replace("_", " "), settings, clock)
        truth = _Once(dataset, settings)
        yield from _of_one(asked, dataset, word, whole, clip or BUILT_IN_BACKBONE, exam, truth, journal)


def _tokens_of(asked: EvaluationConfig, ground: BackboneSetup, dataset: Dataset) -> Path | None:
    if asked.tokens is None:
        return None
    decides: list[object] = [ground.backbone.name, ground.backbone.weights_sha256, dict(ground.backbone.configuration)]
    decides += [ground.framing.identity, crops_padding(ground.backbone, ground.framing), str(dataset.folder)]
    return asked.tokens / f"{dataset.name}-{sha256(json.dumps(decides).encode()).hexdigest()[:16]}"


class _Once:
    """Masks are read when the first cell needs them."""

    def __init__(self, dataset: Dataset, settings: ScorerSettings) -> None:
        self._dataset = dataset
        self._settings = settings
        self._read: list[PixelGroundTruth | None] = []

    def __call__(self) -> PixelGroundTruth | None:
        if not self._read:
            self._read.append(read_ground_truth(self._dataset, self._settings))
        return self._read[0]


def _of_one(
    asked: EvaluationConfig,
    dataset: Dataset,
    word: str,
    detector: Detector,
    backbone: str,
    exam: _Exam,
    truth: Callable[[], PixelGroundTruth | None],
    journal: ResultsLog,
) -> Iterator[tuple[ResultKey, EvaluationMetrics]]:
    for shots in asked.shots:
        for seed in range(asked.seeds):
            key = ResultKey(
                method=word,
                backbone=backbone,
                model_id=detector.model_id,
                framing=str(asked.framing),
                dataset=dataset.name,
                contents=dataset.contents,
                limit=asked.limit,
                shots=shots,
                seed=seed,
            )
            if key not in journal:
                journal.add(key, _figures(exam, dataset, dataset.draw(shots, seed), asked.framing, truth()))
            yield key, journal[key]


def _figures(
    exam: _Exam, dataset: Dataset, normals: Sequence[Path], framing: Framing, truth: PixelGroundTruth | None
) -> EvaluationMetrics:
    begun_s = exam.clock()
    references = exam.references(normals)
    fit_ms = 1000 * (exam.clock() - begun_s)
    tested = [*dataset.good, *dataset.bad]
    images: list[torch.Tensor] = []
    maps: list[npt.NDArray[np.float32]] = []
    took_ms: list[float] = []
    for first in range(0, len(tested), ENCODE_BATCH_SIZE):
        batch = tested[first : first + ENCODE_BATCH_SIZE]
        scores, score_ms = exam.scores(batch, references)
        images.append(scores.image)
        maps += list(scores.maps.float().cpu().numpy())
        took_ms.append(score_ms / len(batch))
    values = torch.cat(images).double().cpu().numpy()
    if not np.isfinite(values).all():
        raise EvaluationError(f"A score of an image in {dataset.folder} is no number; no figure is made of that.")
    good, bad = values[: len(dataset.good)], values[len(dataset.good) :]
    threshold = calibrate(references.normal_scores, FALSE_REJECT_RATE).value
    pixels = None if truth is None else evaluate_maps(maps, framing, truth)
    return EvaluationMetrics(
        auroc=auroc(good, bad),
        auprc=average_precision(good, bad),
        pixel_auroc=None if pixels is None else pixels.auroc,
        aupro=None if pixels is None else pixels.aupro,
        flagged=_flagged_fraction(good, threshold),
        caught=_flagged_fraction(bad, threshold),
        log_score_std=float(np.log(good).std()) if (good > 0).all() else None,
        encode_ms=exam.encode_ms(),
        score_ms=median(took_ms),
        fit_ms=fit_ms,
        good=len(good),
        bad=len(bad),
    )


def _flagged_fraction(scores: npt.NDArray[np.float64], threshold: float) -> float:
    """Return the fraction of scores, (N,), that the threshold flags."""
    return fmean(decide(score, threshold) == "flag" for score in scores.tolist())


def _on_tokens(detector: PatchDetector, shelf: TokenCache, exact: TokenCache | None, clock: Timer) -> _Exam:
    """A method on tokens from the shelf; of normals there are exact ones too where the backbone rounds."""

    def references(normals: Sequence[Path]) -> References:
        ordered, turns = shelf.in_order(normals), detector.method.turns
        patches = shelf.patches(ordered, turns)
        if exact is not None:
            patches = replace(patches, exact=exact.patches(ordered, turns).tokens)
        return detector.references_of(patches)

    def scores(paths: Sequence[Path], references: References) -> tuple[Scores, float]:
        patches = shelf.patches(paths)
        begun_s = clock()
        found = detector.judge(patches, references)
        found.image.cpu()  # what a GPU still computes has been waited for
        return found, 1000 * (clock() - begun_s)

    return _Exam(references, scores, lambda: shelf.encode_ms, clock)


def _on_pictures(detector: Detector, object_name: str, settings: ScorerSettings, clock: Timer) -> _Exam:
    """A detector that encodes for itself, each picture each time."""
    encode_ms: list[float] = []

    def references(normals: Sequence[Path]) -> References:
        return detector.references([read_image(path, settings) for path in normals], object_name)

    def scores(paths: Sequence[Path], references: References) -> tuple[Scores, float]:
        pictures = [read_image(path, settings) for path in paths]
        begun_s = clock()
        encoded = detector.encode([detector.prepare(picture) for picture in pictures])
        encoded_s = clock()
        found = detector.judge(encoded, references)
        found.image.cpu()
        encode_ms.append(1000 * (encoded_s - begun_s) / len(paths))
        return found, 1000 * (clock() - encoded_s)

    return _Exam(references, scores, lambda: median(encode_ms), clock)
