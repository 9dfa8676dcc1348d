"""Step 3 of the worker: what a station's frames are judged by."""

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog

from ingest.errors import BadFrame
from scorer import decode
from scorer.calibration import calibrate
from scorer.detectors import registry
from scorer.detectors.protocol import Detector, Picture, References
from scorer.devices import device_of, memory_bytes
from scorer.errors import BadNormals
from scorer.framing import Framing
from scorer.kept_images import KeptImages
from scorer.references import Key, ReferenceStore
from scorer.settings import ScorerSettings
from storage import stations, thresholds
from storage.database import Database
from storage.errors import NotFound
from storage.normal_sets import NormalSet
from storage.stations import Station
from storage.thresholds import Threshold

log = structlog.get_logger()

MEMORY_PARTS = 4
"""References take one of so many parts of the device's memory, unless the settings say how much."""


@dataclass(frozen=True, slots=True)
class Standard:
    """What all of a station's frames in one batch are judged by."""

    station: Station
    framing: Framing
    detector: Detector
    references: References
    threshold: Threshold


class Standards:
    """Holds detectors, one a framing, and references; safe from any thread, one at a time."""

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
        self._alone = threading.RLock()

    def detector(self, framing: stations.Framing) -> Detector:
        """The detector that the settings name, for this framing; raises `ModelUnavailable`."""
        with self._alone:
            if framing not in self._detectors:
                self._detectors[framing] = self._load(self._settings, Framing(framing))
            return self._detectors[framing]

    def standard(
        self, station: Station, normal_set: NormalSet, in_force: Mapping[tuple[int, str], Threshold] | None = None
    ) -> Standard:
        """Get ready to judge; raises `BadNormals` where the set allows no references or no threshold.

        in_force: thresholds as `storage.thresholds.in_force` just read them for this set among others, if it did.
        """
        with self._alone:
            detector = self.detector(station.settings.framing)
            references = self._store().get(
                Key(detector.model_id, normal_set.id, _digest(station, normal_set)),
                lambda: detector.references(
                    [self._normal(image.reference, image.name, detector) for image in normal_set.images],
                    station.settings.object_name,
                ),
            )
            found = None if in_force is None else in_force.get((normal_set.id, detector.model_id))
            if found is None or found.false_reject_rate != station.settings.false_reject_rate:
                found = self._threshold(station, normal_set, detector, references)
            return Standard(station, Framing(station.settings.framing), detector, references, found)

    def _store(self) -> ReferenceStore:
        if self._references is None:
            self._references = ReferenceStore(
                self._settings.references_path, most_references_bytes(self._settings), device_of(self._settings.device)
            )
        return self._references

    def _normal(self, reference: str, name: str, detector: Detector) -> Picture:
        try:
            return decode.decode(self._images.get(reference), self._settings, detector.enough_px).picture
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


def most_references_bytes(settings: ScorerSettings) -> int:
    """How much memory references may take: what the settings say, or a part of what the device has."""
    if settings.max_references_bytes is not None:
        return settings.max_references_bytes
    return memory_bytes(device_of(settings.device)) // MEMORY_PARTS


def _digest(station: Station, normal_set: NormalSet) -> str:
    """Of all that references depend on beside the model."""
    digest = hashlib.sha256(station.settings.object_name.encode())
    for reference in sorted(image.reference for image in normal_set.images):
        digest.update(f"\n{reference}".encode())
    return digest.hexdigest()
