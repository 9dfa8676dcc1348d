"""Simulate first days: what a station catches of test images that it never saw, before and after it learnt."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scorer.detectors.nearest_patch import NearestPatch
from scorer.detectors.patch_based.compared_frames import compare_frames
from scorer.detectors.patch_based.detector import PatchDetector
from scorer.detectors.protocol import References
from scorer.engines.devices import set_torch_threads, usable_cores
from scorer.evaluation.datasets import Dataset, read_dataset
from scorer.evaluation.metrics import auroc
from scorer.evaluation.results_log import JsonLinesLog
from scorer.evaluation.specs import load_backbone_setup
from scorer.evaluation.stream.first_day import FirstDay, draw_first_day
from scorer.evaluation.timing import timer_for
from scorer.evaluation.token_cache import TokenCache
from scorer.imaging.framing import Framing
from scorer.learning.answers import Learned, StreamFrames, apply_answers, learn
from scorer.learning.head_gate import compare_heads
from scorer.learning.normal_growth import propose_normals
from scorer.learning.stream_thresholds import MIN_STREAM_FRAMES, estimated_threshold, reviewed_threshold
from scorer.recipes.calibration import calibrate
from scorer.settings import ScorerSettings
from storage.line.decision import decide
from storage.line.normal_sets import MAX_IMAGES
from storage.review.labels import Label

FALSE_REJECT_RATE = 0.01
"""The promise that thresholds are made for, a station's default."""


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """The days to simulate: the product of everything but the framing.

    Attributes:
        folders: Datasets in MVTec AD layout.
        backbone: A backbone spec.
        normals: Numbers of normals that a station starts with.
        defect_rates: Shares of defects in the stream.
        frames: After how many frames the station is tested; 0 is the static station of today.
        answers: How many frames people answer.
        seeds: How many days are drawn, with seeds from 0.
    """

    folders: tuple[Path, ...]
    backbone: str
    normals: tuple[int, ...]
    defect_rates: tuple[float, ...]
    frames: tuple[int, ...]
    answers: tuple[int, ...]
    seeds: int


@dataclass(frozen=True, slots=True)
class StreamKey:
    """Everything that determines a result; see `StreamConfig`."""

    model_id: str
    rules: str
    dataset: str
    contents: str
    normals: int
    defect_rate: float
    frames: int
    answers: int
    seed: int


@dataclass(frozen=True, slots=True)
class StreamMetrics:
    """What a station catches of images that never streamed by; rates are in [0, 1].

    Attributes:
        caught: The share of defects that are flagged.
        false_rejects: The share of good images that are flagged.
        auroc: Area under the ROC curve of the scores.
        streamed: How many frames had streamed by; fewer than asked where the dataset has no more.
        found: How many defects people found by their answers.
        normals_in_use: How many normals the station compares with.
        defects_among_normals: How many of these are defects.
    """

    caught: float
    false_rejects: float
    auroc: float
    streamed: int
    found: int
    normals_in_use: int
    defects_among_normals: int


RULES = "4"
"""Raised when a rule of `scorer.learning` changes, so that results of former rules are computed again."""


def simulate(
    config: StreamConfig, path: Path, settings: ScorerSettings, advance: Callable[[int], None] = lambda _: None
) -> dict[StreamKey, StreamMetrics]:
    """Simulate the days that the log does not have yet; raises `EvaluationError`.

    Args:
        config: The days.
        path: The log of results; an interrupted simulation resumes from it.
        settings: The scorer's settings, for device, engine, weights and limits.
        advance: Called with the number of results after each.
    """
    set_torch_threads(settings.torch_threads or usable_cores())
    log = JsonLinesLog(path, StreamKey, StreamMetrics)
    setup = load_backbone_setup(config.backbone, Framing(), settings)
    detector = PatchDetector(NearestPatch(), setup.backbone, setup.framing, setup.fp32_twin)
    results: dict[StreamKey, StreamMetrics] = {}
    for folder in config.folders:
        dataset = read_dataset(folder)
        tokens = TokenCache(detector.encode_images, settings, timer_for(settings.device))
        for day, keys in _days(config, detector, dataset):
            missing = [key for key in keys if key not in log]
            for key, metrics in _Station(detector, tokens, day).results(missing) if missing else ():
                log.add(key, metrics)
            for key in keys:
                results[key] = log[key]
                advance(len(results))
    return results


def _days(
    config: StreamConfig, detector: PatchDetector, dataset: Dataset
) -> Iterator[tuple[FirstDay, Sequence[StreamKey]]]:
    """Return each day with the keys of its results, those of one number of frames one after the other."""
    longest = max(config.frames)
    for normals in config.normals:
        for rate in config.defect_rates:
            for seed in range(config.seeds):
                keys = [
                    StreamKey(
                        detector.model_id, RULES, dataset.name, dataset.contents, normals, rate, frames, answers, seed
                    )
                    for frames in sorted(config.frames)
                    for answers in (config.answers if frames else (0,))
                ]
                yield draw_first_day(dataset, normals, longest, rate, seed), keys


class _Station:
    """A station on its first day."""

    def __init__(self, detector: PatchDetector, tokens: TokenCache, day: FirstDay) -> None:
        self._detector = detector
        self._tokens = tokens
        self._day = day
        self._tested = [*day.good, *day.bad]
        self._start = self._fit(day.normals)

    def results(self, keys: Sequence[StreamKey]) -> Iterator[tuple[StreamKey, StreamMetrics]]:
        """Yield the result of each key of this day."""
        for frames in dict.fromkeys(key.frames for key in keys):
            of_frames = [key for key in keys if key.frames == frames]
            if len(self._day.stream[:frames]) - max(key.answers for key in of_frames) < MIN_STREAM_FRAMES:
                yield from ((key, self._static()) for key in of_frames)
            else:
                yield from self._learning(frames, of_frames)

    def _static(self) -> StreamMetrics:
        """Test the station as it starts."""
        normals, references = self._start
        tested = self._compare(self._tested, normals, references)
        threshold = calibrate(references.normal_scores, FALSE_REJECT_RATE).value
        return self._metrics(tested.scores, threshold, 0, 0, normals)

    def _learning(self, count: int, keys: Sequence[StreamKey]) -> Iterator[tuple[StreamKey, StreamMetrics]]:
        """Test the station after `count` frames, for each number of answers."""
        stream, is_defect = self._day.stream[:count], self._day.is_defect[:count]
        normals, references = self._grow(stream)
        frames = self._compare(stream, normals, references)
        tested = self._compare(self._tested, normals, references)
        for key in keys:
            learned = learn(frames, key.answers, lambda index: is_defect[index])
            found = {path for path, called in zip(stream, learned.is_defect, strict=True) if called}
            in_use, compared, seen = normals, frames, tested
            if found & set(normals):  # a defect leaves the normals as soon as somebody calls it one
                in_use, references = self._fit([path for path in normals if path not in found])
                compared = self._compare(stream, in_use, references)
                learned = apply_answers(compared, learned.is_defect, learned.answered)
                seen = self._compare(self._tested, in_use, references)
            scores, threshold = _decide_by(compared, learned, seen, bool(key.answers))
            yield key, self._metrics(scores, threshold, len(stream), len(found), in_use)

    def _grow(self, stream: Sequence[Path]) -> tuple[list[Path], References]:
        """Add frames of the stream to the normals."""
        normals, references = self._start
        frames = self._compare(stream, normals, references)
        proposed = propose_normals(
            frames.scores.tolist(), frames.descriptors, [False] * len(stream), MAX_IMAGES - len(normals)
        )
        return self._fit([*normals, *(stream[index] for index in proposed)])

    def _fit(self, normals: Sequence[Path]) -> tuple[list[Path], References]:
        in_order = self._tokens.sort_normals(normals)
        return in_order, self._detector.fit(self._tokens.patches(in_order))

    def _compare(self, paths: Sequence[Path], normals: Sequence[Path], references: References) -> StreamFrames:
        """Compare frames with normals; one that is among the normals is compared with the others."""
        position = {path: index for index, path in enumerate(normals)}
        own = [position.get(path) for path in paths]
        compared = compare_frames(self._tokens.patches(paths), references.tensors, own)
        identities = [f"{path.parent.name}/{path.name}" for path in paths]
        return StreamFrames(identities, compared.scores, compared.evidence, compared.descriptors)

    def _metrics(
        self, scores: npt.NDArray[np.float64], threshold: float, streamed: int, found: int, normals: Sequence[Path]
    ) -> StreamMetrics:
        flags = [decide(score, threshold) == "flag" for score in scores.tolist()]
        good = len(self._day.good)
        defects = {path for path, bad in zip(self._day.stream, self._day.is_defect, strict=True) if bad}
        return StreamMetrics(
            caught=float(np.mean(flags[good:])),
            false_rejects=float(np.mean(flags[:good])),
            auroc=auroc(scores[:good], scores[good:]),
            streamed=streamed,
            found=found,
            normals_in_use=len(normals),
            defects_among_normals=len(defects & set(normals)),
        )


def _decide_by(
    frames: StreamFrames, learned: Learned, tested: StreamFrames, reviewed: bool
) -> tuple[npt.NDArray[np.float64], float]:
    """Return the scores of the tested images and their threshold: with the head where it may be used."""
    is_defect = learned.is_defect.tolist()
    threshold = _threshold(frames.scores.tolist(), is_defect, reviewed)
    if learned.head is None:
        return tested.scores, threshold
    head_threshold = _threshold(learned.scores.tolist(), is_defect, reviewed)
    labels: list[Label | None] = [None] * len(is_defect)
    for index in learned.answered:
        labels[index] = "defect" if is_defect[index] else "false_alarm"
    comparison = compare_heads(frames.scores, threshold, learned.scores, head_threshold, labels)
    if comparison.objection(FALSE_REJECT_RATE) is not None:
        return tested.scores, threshold
    return learned.head.combine(tested.scores, tested.evidence), head_threshold


def _threshold(scores: Sequence[float], is_defect: Sequence[bool], reviewed: bool) -> float:
    """Return the threshold by the answers, else by estimate."""
    if reviewed:
        return reviewed_threshold(scores, is_defect, FALSE_REJECT_RATE).value
    return estimated_threshold(scores, FALSE_REJECT_RATE).value
