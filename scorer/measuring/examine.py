"""Measure cells: every method on every dataset, number of shots and seed, skipping those that are remembered."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
import torch

from scorer.calibration import calibrate
from scorer.detectors.patches import PICTURES_AT_ONCE, PatchDetector, leaves_bars_out
from scorer.detectors.protocol import Detector, References, Scores
from scorer.devices import device_of, usable_cores
from scorer.errors import ModelUnavailable, UnfitBackbone
from scorer.framing import Framing
from scorer.measuring.candidates import CLIP, OWN_BACKBONE, Ground, load_ground, load_method, load_whole, needs_backbone
from scorer.measuring.cells import Figures, Journal, Key
from scorer.measuring.clock import Clock, clock_for
from scorer.measuring.datasets import Dataset, read_dataset, read_picture
from scorer.measuring.errors import CannotMeasure
from scorer.measuring.metrics import auroc, average_precision
from scorer.measuring.pixels import PixelTruth, judge_maps, read_truth
from scorer.measuring.shelf import Shelf
from scorer.settings import ScorerSettings

FALSE_REJECT_RATE = 0.01
"""What thresholds are calibrated for: a station's default."""


@dataclass(frozen=True, slots=True)
class Asked:
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
class Measured:
    """All cells that were asked for, in order, and the methods that can't be measured here, each with the reason."""

    cells: dict[Key, Figures] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Exam:
    """One detector before one dataset: how it learns normals, and scores pictures in how many milliseconds."""

    references: Callable[[Sequence[Path]], References]
    scores: Callable[[Sequence[Path], References], tuple[Scores, float]]
    encode_ms: Callable[[], float]
    clock: Clock


def measure(
    asked: Asked, journal: Journal, settings: ScorerSettings, advance: Callable[[int], None] = lambda _: None
) -> Measured:
    """Measure what the journal doesn't have; `advance` is told the number of cells done, remembered ones included.

    Raises `CannotMeasure` for folders or words that nothing can be measured with, before anything is measured.
    """
    torch.set_num_threads(settings.torch_threads or usable_cores())
    datasets = [read_dataset(folder, asked.limit) for folder in asked.folders]
    for dataset in datasets:
        dataset.draw(max(asked.shots), 0)
    measured = Measured()
    for key, figures in _cells(asked, datasets, journal, settings, measured.missing):
        measured.cells[key] = figures
        advance(len(measured.cells))
    return measured


def _cells(
    asked: Asked, datasets: Sequence[Dataset], journal: Journal, settings: ScorerSettings, missing: dict[str, str]
) -> Iterator[tuple[Key, Figures]]:
    on_patches = [word for word in asked.methods if needs_backbone(word)]
    for backbone in asked.backbones if on_patches else ():
        ground = load_ground(backbone, asked.framing, settings)
        clock = clock_for(ground.backbone.device)
        for dataset in datasets:
            truth = _Once(dataset, settings)
            shelf: Shelf | None = None
            exact: Shelf | None = None
            for word in on_patches:
                try:
                    detector = load_method(word, dataset.name, ground, settings)
                except (ModelUnavailable, UnfitBackbone) as error:
                    missing[f"{word} on {ground.backbone.name}"] = str(error)
                    continue
                # Tokens are the ground's, whichever method asks.
                shelf = shelf or Shelf(detector.patches, settings, clock, _tokens_of(asked, ground, dataset))
                if ground.exact is not None:
                    exact = exact or Shelf(detector.exact_patches, settings, clock)
                exam = _on_tokens(detector, shelf, exact, clock)
                yield from _of_one(asked, dataset, word, detector, ground.backbone.name, exam, truth, journal)
    for word in (word for word in asked.methods if not needs_backbone(word)):
        for dataset in datasets:
            yield from _of_whole(asked, word, dataset, journal, settings, missing)


def _of_whole(
    asked: Asked, word: str, dataset: Dataset, journal: Journal, settings: ScorerSettings, missing: dict[str, str]
) -> Iterator[tuple[Key, Figures]]:
    """A detector that compares more than patches: on each CLIP that was asked for, else on what it brings."""
    clips: list[str | None] = [backbone for backbone in asked.backbones if backbone.startswith(CLIP)]
    for clip in clips or [None]:
        try:
            whole = load_whole(word, dataset.name, clip, asked.framing, settings)
        except (ModelUnavailable, UnfitBackbone) as error:
            missing[word if clip is None else f"{word} on {clip}"] = str(error)
            continue
        clock = clock_for(device_of(settings.device))
        exam = _on_pictures(whole, dataset.name.replace("_", " "), settings, clock)
        truth = _Once(dataset, settings)
        yield from _of_one(asked, dataset, word, whole, clip or OWN_BACKBONE, exam, truth, journal)


def _tokens_of(asked: Asked, ground: Ground, dataset: Dataset) -> Path | None:
    if asked.tokens is None:
        return None
    decides: list[object] = [ground.backbone.name, ground.backbone.weights_sha256, dict(ground.backbone.configuration)]
    decides += [ground.framing.identity, leaves_bars_out(ground.backbone, ground.framing), str(dataset.folder)]
    return asked.tokens / f"{dataset.name}-{sha256(json.dumps(decides).encode()).hexdigest()[:16]}"


class _Once:
    """Masks are read when the first cell needs them."""

    def __init__(self, dataset: Dataset, settings: ScorerSettings) -> None:
        self._dataset = dataset
        self._settings = settings
        self._read: list[PixelTruth | None] = []

    def __call__(self) -> PixelTruth | None:
        if not self._read:
            self._read.append(read_truth(self._dataset, self._settings))
        return self._read[0]


def _of_one(
    asked: Asked,
    dataset: Dataset,
    word: str,
    detector: Detector,
    backbone: str,
    exam: _Exam,
    truth: Callable[[], PixelTruth | None],
    journal: Journal,
) -> Iterator[tuple[Key, Figures]]:
    for shots in asked.shots:
        for seed in range(asked.seeds):
            key = Key(
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
    exam: _Exam, dataset: Dataset, normals: Sequence[Path], framing: Framing, truth: PixelTruth | None
) -> Figures:
    begun_s = exam.clock()
    references = exam.references(normals)
    fit_ms = 1000 * (exam.clock() - begun_s)
    tested = [*dataset.good, *dataset.bad]
    images: list[torch.Tensor] = []
    maps: list[npt.NDArray[np.float32]] = []
    took_ms: list[float] = []
    for first in range(0, len(tested), PICTURES_AT_ONCE):
        batch = tested[first : first + PICTURES_AT_ONCE]
        scores, judge_ms = exam.scores(batch, references)
        images.append(scores.image)
        maps += list(scores.maps.float().cpu().numpy())
        took_ms.append(judge_ms / len(batch))
    values = torch.cat(images).double().cpu().numpy()
    if not np.isfinite(values).all():
        raise CannotMeasure(f"A score of an image in {dataset.folder} is no number; no figure is made of that.")
    good, bad = values[: len(dataset.good)], values[len(dataset.good) :]
    threshold = calibrate(references.normal_scores, FALSE_REJECT_RATE).value
    pixels = None if truth is None else judge_maps(maps, framing, truth)
    return Figures(
        auroc=auroc(good, bad),
        auprc=average_precision(good, bad),
        pixel_auroc=None if pixels is None else pixels.auroc,
        aupro=None if pixels is None else pixels.aupro,
        flagged=float((good > threshold).mean()),
        caught=float((bad > threshold).mean()),
        log_spread=float(np.log(good).std()) if (good > 0).all() else None,
        encode_ms=exam.encode_ms(),
        judge_ms=median(took_ms),
        fit_ms=fit_ms,
        good=len(good),
        bad=len(bad),
    )


def _on_tokens(detector: PatchDetector, shelf: Shelf, exact: Shelf | None, clock: Clock) -> _Exam:
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


def _on_pictures(detector: Detector, object_name: str, settings: ScorerSettings, clock: Clock) -> _Exam:
    """A detector that encodes for itself, each picture each time."""
    encode_ms: list[float] = []

    def references(normals: Sequence[Path]) -> References:
        return detector.references([read_picture(path, settings) for path in normals], object_name)

    def scores(paths: Sequence[Path], references: References) -> tuple[Scores, float]:
        pictures = [read_picture(path, settings) for path in paths]
        begun_s = clock()
        encoded = detector.encode([detector.prepare(picture) for picture in pictures])
        encoded_s = clock()
        found = detector.judge(encoded, references)
        found.image.cpu()
        encode_ms.append(1000 * (encoded_s - begun_s) / len(paths))
        return found, 1000 * (clock() - encoded_s)

    return _Exam(references, scores, lambda: median(encode_ms), clock)
