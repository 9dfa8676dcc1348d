"""Step 4 of the worker: framed pictures against their stations' standards, in micro-batches that mix stations."""

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import structlog

from foundation.errors import Retriable
from scorer.chunks import chunks
from scorer.detectors.protocol import Detector
from scorer.imaging.framing import Framed
from scorer.recipes.loader import Recipe
from scorer.worker.decode import Decoded, Rejected, reject
from storage.blobs.anomaly_maps import encode_map

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Scorable:
    """A framed picture and what it is judged by."""

    pictured: Decoded
    standard: Recipe

    @property
    def framed(self) -> Framed:
        """What the detector sees."""
        assert self.pictured.prepared.framed is not None
        return self.pictured.prepared.framed


@dataclass(frozen=True, slots=True)
class Scored:
    """A scored frame; `framed_map` (rows, columns) lies over the picture as it was framed."""

    ready: Scorable
    score: float
    components: Mapping[str, float]
    framed_map: npt.NDArray[np.float32]

    def map_png(self) -> bytes:
        """The anomaly map over the whole picture, in the format of `storage.blobs.anomaly_maps`."""
        framed = self.ready.framed
        return encode_map(self.ready.standard.framing.over(self.framed_map, framed.height, framed.width))


class MicroBatchScorer:
    """Scores frames in micro-batches, `threads` of them side by side, of at most `at_once` frames each."""

    def __init__(self, at_once: int, threads: int) -> None:
        self._at_once = at_once
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="scoring")

    def judge(self, frames: Sequence[Scorable]) -> list[Scored | Rejected]:
        """Answer in the frames' order.

        A frame that can't be scored, not even alone, is refused. What is retriable is raised.
        """
        micro_batches = [
            (detector, some)
            for detector, places in _by_detector(frames)
            for some in chunks(places, self._at_once, self._threads)
        ]
        answers: dict[int, Scored | Rejected] = {}
        asked = [(detector, [frames[place] for place in some]) for detector, some in micro_batches]
        answered = self._pool.map(lambda pair: _micro_batch(*pair), asked)
        for (_, some), found in zip(micro_batches, answered, strict=True):
            answers |= zip(some, found, strict=True)
        return [answers[place] for place in range(len(frames))]

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def _by_detector(frames: Sequence[Scorable]) -> Iterator[tuple[Detector, list[int]]]:
    places: dict[int, list[int]] = {}
    for place, frame in enumerate(frames):
        places.setdefault(id(frame.standard.detector), []).append(place)
    for some in places.values():
        yield frames[some[0]].standard.detector, some


def _micro_batch(detector: Detector, frames: Sequence[Scorable]) -> list[Scored | Rejected]:
    try:
        return list(_scored(detector, frames))
    except Retriable:
        raise
    except Exception:
        log.exception("scoring failed, each frame is tried alone", frames=len(frames))
        return [_scored_alone(detector, frame) for frame in frames]


def _scored_alone(detector: Detector, frame: Scorable) -> Scored | Rejected:
    try:
        return _scored(detector, [frame])[0]
    except Retriable:
        raise
    except Exception as error:
        arrived = frame.pictured.arrived
        log.exception("scoring failed", station=arrived.frame.station, frame_id=str(arrived.frame.frame_id))
        why = f"{detector.name} failed on this frame: {type(error).__name__}: {error}"
        return reject(arrived, "scoring-failed", why)


def _scored(detector: Detector, frames: Sequence[Scorable]) -> list[Scored]:
    """Encode all at once, then hold each frame against its station's references."""
    encoded = detector.encode([frame.framed for frame in frames])
    scores = detector.score_each(encoded, [frame.standard.references for frame in frames])
    image, maps = scores.image.tolist(), scores.maps.float().cpu().numpy()
    components = {name: values.tolist() for name, values in scores.components.items()}
    judged = []
    for place, frame in enumerate(frames):
        own = {name: values[place] for name, values in components.items()}
        if not all(math.isfinite(value) for value in (image[place], *own.values())):
            raise ArithmeticError(f"{detector.name} gave a score that is no number: {image[place]}, {own}")
        judged.append(Scored(frame, image[place], own, maps[place]))
    return judged
