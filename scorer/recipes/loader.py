"""Prepare recipes: what a station's normals lead to, with the head in use and the threshold in force."""

import threading
from dataclasses import replace

import structlog

from foundation.clock import Clock
from scorer.detectors import registry
from scorer.detectors.capabilities.defect_term import DefectTerm, learns_defects
from scorer.detectors.protocol import Detector
from scorer.images import RetriableImageStore
from scorer.learning.limits import review_limit_of_normals
from scorer.recipes.calibration import calibrate
from scorer.recipes.in_force import InForce
from scorer.recipes.recipe import Recipe
from scorer.recipes.station_normals import StationNormals, StationNormalsLoader
from scorer.settings import ScorerSettings
from storage.database.engine import Database
from storage.learning import defect_sets
from storage.learning.defect_sets import HeadInUse
from storage.line import stations, thresholds
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from storage.line.thresholds import Threshold

log = structlog.get_logger()


class RecipeLoader:
    """Prepares recipes, and calibrates the thresholds that are missing; from any thread."""

    def __init__(
        self,
        database: Database,
        images: RetriableImageStore,
        settings: ScorerSettings,
        name: str,
        clock: Clock,
        load: registry.LoadDetector = registry.load,
    ) -> None:
        """Load nothing yet; thresholds that are made here are recorded as made by `name`."""
        self._database = database
        self._normals = StationNormalsLoader(database, images, settings, load)
        self._name = name
        self._clock = clock
        self._terms: dict[int, DefectTerm] = {}  # by id of the defect set
        self._lock = threading.RLock()

    def detector(self, framing: stations.FramingKind) -> Detector:
        """Return the detector that the settings name, for this framing; raises `ModelUnavailable`."""
        return self._normals.detector(framing)

    def recipe(self, station: Station, normal_set: NormalSet, in_force: InForce | None = None) -> Recipe:
        """Return the recipe of a station with one of its normal sets, active or not.

        It scores with the defect set in use, once that has a threshold at the station's false-reject rate.

        Args:
            station: The station, whose settings choose framing, object name and false reject rate.
            normal_set: The normal images to compare with.
            in_force: What was just read for this set among others; read here if None.

        Raises:
            InvalidNormalSet: The set allows no references or no threshold.
            ModelUnavailable: The detector can't be loaded.
        """
        if in_force is None:
            in_force = self._read_in_force(normal_set)
        made = self._normals.load(station, normal_set)
        head = in_force.heads.get((normal_set.id, made.detector.model_id)) if station.settings.learn_defects else None
        if head is not None and learns_defects(made.detector):
            threshold = in_force.thresholds.get((normal_set.id, head.scoring_model_id))
            if threshold is not None and _is_current(threshold, station, made):
                references = made.detector.with_term(made.prepared.references, self._term(head))
                return made.recipe(head.scoring_model_id, references, threshold)
        return self._without_head(station, normal_set, in_force, made)

    def recipe_without_head(self, station: Station, normal_set: NormalSet) -> Recipe:
        """Return the recipe that scores by the normals alone, whether a defect set is in use or not; see `recipe`."""
        return self._without_head(
            station, normal_set, self._read_in_force(normal_set), self._normals.load(station, normal_set)
        )

    def recipe_of_model(self, station: Station, normal_set: NormalSet, model_id: str) -> Recipe | None:
        """Return the recipe that scores as the model of this id did, in use or not; None where no such model exists.

        Its threshold is that of the normals alone. See `recipe`.
        """
        recipe = self.recipe_without_head(station, normal_set)
        if recipe.model_id == model_id:
            return recipe
        with self._database.read() as session:
            head = defect_sets.find_head(session, station.id, model_id)
        detector = recipe.detector
        if head is None or not learns_defects(detector):
            return None
        term = self._term(head)
        if term.scoring_model_id(detector.model_id) != model_id:  # of another detector
            return None
        return replace(recipe, model_id=model_id, references=detector.with_term(recipe.references, term))

    def _read_in_force(self, normal_set: NormalSet) -> InForce:
        with self._database.read() as session:
            return InForce.read(session, [normal_set.id])

    def _without_head(self, station: Station, normal_set: NormalSet, in_force: InForce, made: StationNormals) -> Recipe:
        threshold = in_force.thresholds.get((normal_set.id, made.detector.model_id))
        if threshold is None or not _is_current(threshold, station, made):
            with self._lock:
                threshold = self._threshold(station, normal_set, made)
        return made.recipe(made.detector.model_id, made.prepared.references, threshold)

    def _term(self, head: HeadInUse) -> DefectTerm:
        """Return the term of a defect set, which never changes; read once."""
        with self._lock:
            if head.id not in self._terms:
                with self._database.read() as session:
                    self._terms[head.id] = DefectTerm.from_bytes(defect_sets.head(session, head.id))
            return self._terms[head.id]

    def _threshold(self, station: Station, normal_set: NormalSet, made: StationNormals) -> Threshold:
        """Return the current threshold of these references at the station's false reject rate, or calibrate one here.

        It is looked up again in the transaction that records it. Two workers on PostgreSQL may still both record one:
        the two are equal, and the newest is current.
        """
        rate, normal_scores = station.settings.false_reject_rate, made.prepared.references.normal_scores
        key = station.id, normal_set.id, made.detector.model_id
        with self._database.read() as session:
            found = thresholds.current(session, *key)
        if found is not None and _is_current(found, station, made):
            return found
        calibration = calibrate(normal_scores, rate)
        with self._database.begin() as session:
            found = thresholds.current(session, *key)
            if found is not None and _is_current(found, station, made):
                return found
            calibrated = Threshold(
                *key,
                calibration.value,
                rate,
                calibration.guarantee,
                self._clock(),
                self._name,
                reason=_reason(found, station, made.digest),
                references_digest=made.digest,
                review_limit=review_limit_of_normals(
                    normal_scores, calibration.value, station.settings.reviews_per_shift
                ),
            )
            thresholds.record(session, calibrated)
        log.info(
            "threshold calibrated",
            station=station.name,
            set=normal_set.version,
            value=calibrated.value,
            guarantee=calibrated.guarantee,
        )
        return calibrated


def _is_current(threshold: Threshold, station: Station, made: StationNormals) -> bool:
    """Return whether a threshold was made at the station's rate and for references that depend on the same.

    Of one from before digests were stored that is unknown. It is made again where it was calibrated from the normals
    alone, which costs nothing, and the object's name matters.
    """
    if threshold.false_reject_rate != station.settings.false_reject_rate:
        return False
    if threshold.references_digest is None:
        return threshold.kind != "calibrated" or not made.uses_object_name
    return threshold.references_digest == made.digest


def _reason(replaced: Threshold | None, station: Station, digest: str) -> str:
    """Return why a new threshold replaces another one, for the history; empty for the first one or another rate."""
    if replaced is None or replaced.references_digest in (None, digest):
        return ""
    settings = station.settings
    mask = f"mask version {station.mask_version}" if station.mask_version else "no mask"
    return f"the references have changed: object {settings.object_name!r}, bit depth {settings.bit_depth}, {mask}"
