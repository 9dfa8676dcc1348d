"""Steps 3 and 4 of the worker: a station's frames against its active normal set."""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from ingest.errors import BadFrame
from scorer import decode
from scorer.calibration import calibrate
from scorer.detectors import registry
from scorer.detectors.protocol import Detector, Picture, References
from scorer.devices import device_of
from scorer.errors import BadNormals
from scorer.framing import Framing
from scorer.intake import Pictured, Refused, refuse
from scorer.kept_images import KeptImages
from scorer.references import Key, ReferenceStore
from scorer.retriable import RETRIABLE
from scorer.settings import ScorerSettings
from storage import stations, thresholds
from storage.database import Database
from storage.errors import NotFound
from storage.maps import encode_map
from storage.normal_sets import NormalSet
from storage.stations import Station
from storage.thresholds import Threshold

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Standard:
    """What all of a station's frames in one batch are judged by."""

    station: Station
    framing: Framing
    detector: Detector
    references: References
    threshold: Threshold


@dataclass(frozen=True, slots=True)
class Judged:
    """A scored frame; `map_png` is its anomaly map in the format of `storage.maps`."""

    pictured: Pictured
    standard: Standard
    score: float
    components: Mapping[str, float]
    map_png: bytes


class Judge:
    """Holds detectors and references; used from one thread."""

    def __init__(
        self,
        database: Database,
        images: KeptImages,
        settings: ScorerSettings,
        name: str,
        clock: Callable[[], datetime],
        load: registry.Load = registry.load,
    ) -> None:
        self._database = database
        self._images = images
        self._settings = settings
        self._name = name
        self._clock = clock
        self._load = load
        self._detectors: dict[stations.Framing, Detector] = {}
        self._references: ReferenceStore | None = None

    def standard(self, station: Station, normal_set: NormalSet) -> Standard:
        """Get ready to judge; raises `BadNormals` where the set allows no references or no threshold."""
        framing = Framing(station.settings.framing)
        detector = self._detector(framing)
        digest = hashlib.sha256(station.settings.object_name.encode())
        for reference in sorted(image.reference for image in normal_set.images):
            digest.update(f"\n{reference}".encode())
        references = self._store().get(
            Key(detector.model_id, normal_set.id, digest.hexdigest()),
            lambda: detector.references(
                [self._normal(image.reference, image.name) for image in normal_set.images],
                station.settings.object_name,
            ),
        )
        return Standard(
            station, framing, detector, references, self._threshold(station, normal_set, detector, references)
        )

    def judge(self, frames: Sequence[Pictured], standard: Standard) -> Iterator[Judged | Refused]:
        """Score frames in micro-batches; one that can't be scored, not even alone, is refused."""
        at_once = self._settings.model_batch_frames
        for first in range(0, len(frames), at_once):
            some = frames[first : first + at_once]
            try:
                yield from _scored(some, standard)
            except RETRIABLE:
                raise
            except Exception:
                log.exception("scoring failed, each frame is tried alone", station=standard.station.name)
                yield from (_scored_alone(frame, standard) for frame in some)

    def _detector(self, framing: Framing) -> Detector:
        if framing.kind not in self._detectors:
            self._detectors[framing.kind] = self._load(self._settings, framing)
        return self._detectors[framing.kind]

    def _store(self) -> ReferenceStore:
        if self._references is None:
            self._references = ReferenceStore(
                self._settings.references_path, self._settings.max_references_bytes, device_of(self._settings.device)
            )
        return self._references

    def _normal(self, reference: str, name: str) -> Picture:
        try:
            return decode.decode(self._images.get(reference), self._settings).picture
        except (NotFound, BadFrame) as error:
            raise BadNormals(f"The normal image {name} can't be used: {error}") from error

    def _threshold(
        self, station: Station, normal_set: NormalSet, detector: Detector, references: References
    ) -> Threshold:
        """The one in force at the station's false reject rate, made here where there is none.

        It is looked up again in the transaction that records it. Two workers on PostgreSQL may still both record one:
        they are equal, and the newest is in force.
        """
        rate = station.settings.false_reject_rate
        key = station.id, normal_set.id, detector.model_id
        with self._database.read() as session:
            found = thresholds.current(session, *key)
        if found is not None and found.false_reject_rate == rate:
            return found
        calibration = calibrate(references.normal_scores, rate)
        made = Threshold(*key, calibration.value, rate, calibration.promise, self._clock(), self._name)
        with self._database.begin() as session:
            found = thresholds.current(session, *key)
            if found is not None and found.false_reject_rate == rate:
                return found
            thresholds.record(session, made)
        log.info("threshold made", station=station.name, set=normal_set.version, value=made.value, promise=made.promise)
        return made


def _scored(frames: Sequence[Pictured], standard: Standard) -> list[Judged]:
    scores = standard.detector.score([frame.picture for frame in frames], standard.references)
    image, maps = scores.image.tolist(), scores.maps.float().cpu().numpy()
    components = {name: values.tolist() for name, values in scores.components.items()}
    judged = []
    for place, frame in enumerate(frames):
        own = {name: values[place] for name, values in components.items()}
        if not all(math.isfinite(value) for value in (image[place], *own.values())):
            raise ArithmeticError(f"{standard.detector.name} gave a score that is no number: {image[place]}, {own}")
        over_picture = standard.framing.over_picture(maps[place], frame.picture)
        judged.append(Judged(frame, standard, image[place], own, encode_map(over_picture)))
    return judged


def _scored_alone(frame: Pictured, standard: Standard) -> Judged | Refused:
    try:
        return _scored([frame], standard)[0]
    except RETRIABLE:
        raise
    except Exception as error:
        log.exception("scoring failed", station=standard.station.name, frame_id=str(frame.arrived.frame.frame_id))
        return refuse(
            frame.arrived,
            "scoring-failed",
            f"{standard.detector.name} failed on this frame: {type(error).__name__}: {error}",
        )
