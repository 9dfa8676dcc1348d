"""Evaluate every method on every backbone and dataset, for every number of shots and seed, once."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from statistics import fmean, median

import numpy as np
import numpy.typing as npt

from scorer.detectors.patch_based.detector import ENCODE_BATCH_SIZE, crops_padding
from scorer.engines.devices import set_torch_threads, usable_cores
from scorer.errors import ModelUnavailable, UnsupportedBackbone
from scorer.evaluation.datasets import Dataset, read_dataset
from scorer.evaluation.detector_runs import CachedTokensRun, DetectorRun, EncodingRun
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
from scorer.evaluation.timing import timer_for
from scorer.evaluation.token_cache import TokenCache
from scorer.imaging.framing import Framing
from scorer.recipes.calibration import calibrate
from scorer.settings import ScorerSettings
from storage.line.decision import decide

FALSE_REJECT_RATE = 0.01
"""The rate that thresholds are calibrated for, a station's default."""

LoadGroundTruth = Callable[[], PixelGroundTruth | None]


@dataclass(frozen=True, slots=True)
class EvaluationConfig:
    """The configuration of an evaluation: the product of folders, methods, backbones, shots and seeds.

    Attributes:
        folders: Datasets in MVTec AD layout.
        methods: Method specs.
        backbones: Backbone specs.
        framing: How images are framed.
        shots: Numbers of normals to compute references from.
        seeds: How many draws of the shots, with seeds from 0.
        limit: The most normals and the most anomalies to test per dataset; None for all.
        tokens: A folder that caches patch tokens for later evaluations; None for memory alone.
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
    """The outcome of an evaluation.

    Attributes:
        metrics: The metrics of every draw, in the order of evaluation.
        missing: The methods that cannot be evaluated on this machine, with the reason.
    """

    metrics: dict[ResultKey, EvaluationMetrics] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def evaluate(
    config: EvaluationConfig,
    log: ResultsLog,
    settings: ScorerSettings,
    advance: Callable[[int], None] = lambda _: None,
) -> EvaluationResults:
    """Evaluate the runs that the log does not have yet, and add them to the log.

    Args:
        config: The runs to evaluate.
        log: Results of earlier evaluations, which are not computed again.
        settings: The scorer's settings, for device, engine, weights and limits.
        advance: Called with the number of results after each, results of the log included.

    Raises:
        EvaluationError: A dataset or a spec cannot be evaluated; raised before the first result where possible.
    """
    set_torch_threads(settings.torch_threads or usable_cores())
    datasets = [read_dataset(folder, config.limit) for folder in config.folders]
    for dataset in datasets:
        dataset.draw(max(config.shots), 0)
    return _Evaluation(config, datasets, log, settings).run(advance)


class _Evaluation:
    def __init__(
        self, config: EvaluationConfig, datasets: Sequence[Dataset], log: ResultsLog, settings: ScorerSettings
    ) -> None:
        self._config = config
        self._datasets = datasets
        self._log = log
        self._settings = settings
        self._timer = timer_for(settings.device)
        self._results = EvaluationResults()

    def run(self, advance: Callable[[int], None]) -> EvaluationResults:
        for key, metrics in self._evaluate_all():
            self._results.metrics[key] = metrics
            advance(len(self._results.metrics))
        return self._results

    def _evaluate_all(self) -> Iterator[tuple[ResultKey, EvaluationMetrics]]:
        patch_methods = [spec for spec in self._config.methods if is_patch_method(spec)]
        for backbone in self._config.backbones if patch_methods else ():
            setup = load_backbone_setup(backbone, self._config.framing, self._settings)
            for dataset in self._datasets:
                yield from self._evaluate_patch_methods(patch_methods, setup, dataset)
        for spec in (spec for spec in self._config.methods if not is_patch_method(spec)):
            for dataset in self._datasets:
                yield from self._evaluate_whole_image(spec, dataset)

    def _evaluate_patch_methods(
        self, specs: Sequence[str], setup: BackboneSetup, dataset: Dataset
    ) -> Iterator[tuple[ResultKey, EvaluationMetrics]]:
        """Evaluate all methods on one set of tokens, which depends on the setup but not on the method."""
        ground_truth = self._ground_truth(dataset)
        tokens: TokenCache | None = None
        fp32_tokens: TokenCache | None = None
        for spec in specs:
            try:
                detector = load_patch_detector(spec, dataset.name, setup, self._settings)
            except (ModelUnavailable, UnsupportedBackbone) as error:
                self._results.missing[f"{spec} on {setup.backbone.name}"] = str(error)
                continue
            tokens = tokens or TokenCache(
                detector.encode_images, self._settings, self._timer, self._tokens_folder(setup, dataset)
            )
            if setup.fp32_twin is not None:
                fp32_tokens = fp32_tokens or TokenCache(detector.encode_images_in_fp32, self._settings, self._timer)
            run = CachedTokensRun(detector, tokens, fp32_tokens, self._timer)
            yield from self._evaluate_draws(spec, setup.backbone.name, dataset, run, ground_truth)

    def _evaluate_whole_image(self, spec: str, dataset: Dataset) -> Iterator[tuple[ResultKey, EvaluationMetrics]]:
        """Evaluate a detector on every CLIP of the configuration, else on the backbone that it brings."""
        clips: list[str | None] = [name for name in self._config.backbones if name.startswith(CLIP_PREFIX)]
        for clip in clips or [None]:
            try:
                detector = load_whole_image_detector(spec, dataset.name, clip, self._config.framing, self._settings)
            except (ModelUnavailable, UnsupportedBackbone) as error:
                self._results.missing[spec if clip is None else f"{spec} on {clip}"] = str(error)
                continue
            run = EncodingRun(detector, dataset.name.replace("_", " "), self._settings, self._timer)
            yield from self._evaluate_draws(spec, clip or BUILT_IN_BACKBONE, dataset, run, self._ground_truth(dataset))

    def _evaluate_draws(
        self, spec: str, backbone: str, dataset: Dataset, run: DetectorRun, ground_truth: LoadGroundTruth
    ) -> Iterator[tuple[ResultKey, EvaluationMetrics]]:
        for shots in self._config.shots:
            for seed in range(self._config.seeds):
                key = ResultKey(
                    method=spec,
                    backbone=backbone,
                    model_id=run.model_id,
                    framing=str(self._config.framing),
                    dataset=dataset.name,
                    contents=dataset.contents,
                    limit=self._config.limit,
                    shots=shots,
                    seed=seed,
                )
                if key not in self._log:
                    normals = dataset.draw(shots, seed)
                    self._log.add(key, evaluate_draw(run, dataset, normals, self._config.framing, ground_truth()))
                yield key, self._log[key]

    def _ground_truth(self, dataset: Dataset) -> LoadGroundTruth:
        """Return a function that reads the masks at its first call, which a result of the log never makes."""
        return cache(lambda: read_ground_truth(dataset, self._settings))

    def _tokens_folder(self, setup: BackboneSetup, dataset: Dataset) -> Path | None:
        if self._config.tokens is None:
            return None
        backbone, framing = setup.backbone, setup.framing
        identity: list[object] = [backbone.name, backbone.weights_sha256, dict(backbone.configuration)]
        identity += [framing.identity, crops_padding(backbone, framing), str(dataset.folder)]
        return self._config.tokens / f"{dataset.name}-{sha256(json.dumps(identity).encode()).hexdigest()[:16]}"


def evaluate_draw(
    run: DetectorRun, dataset: Dataset, normals: Sequence[Path], framing: Framing, ground_truth: PixelGroundTruth | None
) -> EvaluationMetrics:
    """Fit `normals`, score all tested images in batches, and return the metrics.

    Raises:
        EvaluationError: An image's score is not a finite number.
    """
    started_s = run.timer()
    references = run.fit(normals)
    fit_ms = 1000 * (run.timer() - started_s)
    image_scores: list[npt.NDArray[np.float64]] = []
    maps: list[npt.NDArray[np.float32]] = []
    score_ms: list[float] = []
    for first in range(0, len(dataset.tested), ENCODE_BATCH_SIZE):
        batch = dataset.tested[first : first + ENCODE_BATCH_SIZE]
        scores, batch_ms = run.score(batch, references)
        image_scores.append(scores.image_scores.astype(np.float64))
        maps += list(scores.anomaly_maps)
        score_ms.append(batch_ms / len(batch))
    values = np.concatenate(image_scores)
    if not np.isfinite(values).all():
        raise EvaluationError(f"The score of an image in {dataset.folder} is not a finite number.")
    good, bad = values[: len(dataset.good)], values[len(dataset.good) :]
    threshold = calibrate(references.normal_scores, FALSE_REJECT_RATE).value
    pixels = None if ground_truth is None else evaluate_maps(maps, framing, ground_truth)
    return EvaluationMetrics(
        auroc=auroc(good, bad),
        auprc=average_precision(good, bad),
        pixel_auroc=None if pixels is None else pixels.auroc,
        aupro=None if pixels is None else pixels.aupro,
        false_reject_rate=_flagged_fraction(good, threshold),
        detection_rate=_flagged_fraction(bad, threshold),
        log_score_std=float(np.log(good).std()) if (good > 0).all() else None,
        encode_ms=run.encode_ms,
        score_ms=median(score_ms),
        fit_ms=fit_ms,
        good=len(good),
        bad=len(bad),
    )


def _flagged_fraction(scores: npt.NDArray[np.float64], threshold: float) -> float:
    """Return the fraction of scores, (N,), that the threshold flags."""
    return fmean(decide(score, threshold) == "flag" for score in scores.tolist())
