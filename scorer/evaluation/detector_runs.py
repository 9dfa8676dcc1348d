"""Fitting and scoring by file, with time taken: on cached tokens, or encoding every image each time."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Protocol

from scorer.detectors.patch_based.detector import PatchDetector
from scorer.detectors.protocol import Detector, References, Scores
from scorer.evaluation.datasets import read_image
from scorer.evaluation.timing import Timer
from scorer.evaluation.token_cache import TokenCache
from scorer.settings import ScorerSettings


class DetectorRun(Protocol):
    """One detector on the files of one dataset."""

    @property
    def model_id(self) -> str:
        """The detector's hash of weights and configuration."""

    @property
    def timer(self) -> Timer:
        """The timer of all its times."""

    @property
    def encode_ms(self) -> float:
        """Milliseconds per image for framing and network: the median so far."""

    def fit(self, normals: Sequence[Path]) -> References:
        """Compute references from normals."""

    def score(self, paths: Sequence[Path], references: References) -> tuple[Scores, float]:
        """Score images; return the scores, and the milliseconds of the whole batch after the network."""


class CachedTokensRun:
    """A patch method on tokens of a cache.

    `fp32_cache` holds the normals' tokens in fp32 where the backbone of `cache` rounds.
    """

    def __init__(self, detector: PatchDetector, cache: TokenCache, fp32_cache: TokenCache | None, timer: Timer) -> None:
        """Run `detector` on the tokens of `cache`."""
        self.model_id = detector.model_id
        self.timer = timer
        self._detector = detector
        self._cache = cache
        self._fp32_cache = fp32_cache

    @property
    def encode_ms(self) -> float:
        """As `DetectorRun`."""
        return self._cache.encode_ms

    def fit(self, normals: Sequence[Path]) -> References:
        """As `DetectorRun`."""
        in_order, rotations = self._cache.sort_normals(normals), self._detector.method.rotations
        patches = self._cache.patches(in_order, rotations)
        if self._fp32_cache is not None:
            patches = replace(patches, fp32_tokens=self._fp32_cache.patches(in_order, rotations).tokens)
        return self._detector.fit(patches)

    def score(self, paths: Sequence[Path], references: References) -> tuple[Scores, float]:
        """As `DetectorRun`."""
        patches = self._cache.patches(paths)
        started_s = self.timer()
        scores = self._detector.score_features(patches, [references] * len(paths))
        return scores, 1000 * (self.timer() - started_s)


class EncodingRun:
    """A detector that encodes every image each time it is needed."""

    def __init__(self, detector: Detector, object_name: str, settings: ScorerSettings, timer: Timer) -> None:
        """Run `detector`; `object_name` is the noun of its text prompts, and `settings` limit decoding."""
        self.model_id = detector.model_id
        self.timer = timer
        self._detector = detector
        self._object_name = object_name
        self._settings = settings
        self._encode_ms: list[float] = []

    @property
    def encode_ms(self) -> float:
        """As `DetectorRun`."""
        return median(self._encode_ms)

    def fit(self, normals: Sequence[Path]) -> References:
        """As `DetectorRun`."""
        return self._detector.references([read_image(path, self._settings) for path in normals], self._object_name)

    def score(self, paths: Sequence[Path], references: References) -> tuple[Scores, float]:
        """As `DetectorRun`."""
        images = [read_image(path, self._settings) for path in paths]
        started_s = self.timer()
        encoded = self._detector.encode([self._detector.prepare(image) for image in images])
        encoded_s = self.timer()
        scores = self._detector.score_features(encoded, [references] * len(paths))
        self._encode_ms.append(1000 * (encoded_s - started_s) / len(paths))
        return scores, 1000 * (self.timer() - encoded_s)
