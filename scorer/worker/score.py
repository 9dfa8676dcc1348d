"""Step 5 of the worker: score framed images against their stations' references, in micro-batches that mix stations."""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import structlog

from foundation.errors import Retriable
from scorer.chunks import chunks
from scorer.detectors.protocol import Detector
from scorer.worker.batch import Rejected, Scorable, Scored, reject

log = structlog.get_logger()


class MicroBatchScorer:
    """Scores frames in micro-batches of at most `max_frames`, in `threads` threads of its own; from any thread."""

    def __init__(self, max_frames: int, threads: int) -> None:
        """Start no thread yet; `close` ends those that scoring starts."""
        self._max_frames = max_frames
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="scoring")

    def score(self, frames: Sequence[Scorable]) -> list[Scored | Rejected]:
        """Score frames and return the results in their order.

        A frame that can't be scored, not even alone, is rejected.

        Raises:
            Retriable: The model or its device is unavailable.
        """
        micro_batches = [
            chunk
            for indices in _indices_by_detector(frames)
            for chunk in chunks(indices, self._max_frames, self._threads)
        ]
        results = self._pool.map(lambda chunk: _score_or_reject([frames[index] for index in chunk]), micro_batches)
        by_index: dict[int, Scored | Rejected] = {}
        for indices, found in zip(micro_batches, results, strict=True):
            by_index |= zip(indices, found, strict=True)
        return [by_index[index] for index in range(len(frames))]

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def _indices_by_detector(frames: Sequence[Scorable]) -> Iterator[list[int]]:
    indices: dict[int, list[int]] = {}
    for index, scorable in enumerate(frames):
        indices.setdefault(id(scorable.recipe.detector), []).append(index)
    yield from indices.values()


def _score_or_reject(frames: Sequence[Scorable]) -> list[Scored | Rejected]:
    """Score a micro-batch; where that fails, score each frame alone, so that one frame spoils no other's verdict."""
    try:
        return list(_score(frames))
    except Retriable:
        raise
    except Exception:
        log.exception("scoring failed, each frame is tried alone", frames=len(frames))
        return [_score_alone(scorable) for scorable in frames]


def _score_alone(scorable: Scorable) -> Scored | Rejected:
    try:
        return _score([scorable])[0]
    except Retriable:
        raise
    except Exception as error:
        log.exception("scoring failed", station=scorable.station.name, frame_id=str(scorable.frame.frame_id))
        name = scorable.recipe.detector.name
        return reject(scorable, "scoring-failed", f"{name} failed on this frame: {type(error).__name__}: {error}")


def _score(frames: Sequence[Scorable]) -> list[Scored]:
    """Score frames of one detector, each against its own station's references."""
    detector = frames[0].recipe.detector
    references = [scorable.recipe.references for scorable in frames]
    scores = detector.score_prepared([scorable.framed for scorable in frames], references)
    image_scores = scores.image_scores.tolist()
    components = {name: values.tolist() for name, values in scores.components.items()}
    return [
        Scored(
            frame=scorable.frame,
            position=scorable.position,
            station=scorable.station,
            recipe=scorable.recipe,
            content_type=scorable.content_type,
            image_reference=scorable.image_reference,
            score=_finite(detector, image_scores[index]),
            components={
                name: _finite(detector, values[index])
                for name, values in components.items()
                if not math.isnan(values[index])  # the term does not apply to this frame
            },
            anomaly_map=np.where(scorable.framed.cells, scores.anomaly_maps[index], 0),  # padding, and what is masked
            height=scorable.framed.height,
            width=scorable.framed.width,
        )
        for index, scorable in enumerate(frames)
    ]


def _finite(detector: Detector, value: float) -> float:
    if not math.isfinite(value):
        raise ArithmeticError(f"{detector.name} gave a score that is not finite: {value}")
    return value
