"""Prepare recipes: load the detector, compute or read references, and calibrate the threshold."""

import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import structlog

from foundation.clock import Clock
from imaging import decode
from imaging.bit_depth import smallest_bit_depth
from imaging.errors import BadImage
from imaging.quality.picture_quality import PictureLimits, measure
from imaging.rgb import RgbImage
from scorer.detectors import registry
from scorer.detectors.capabilities.defect_term import DefectTerm, learns_defects
from scorer.detectors.protocol import Detector, References, TakesMask
from scorer.engines.devices import memory_bytes, resolve_device
from scorer.errors import InvalidNormalSet
from scorer.images import RetriableImageStore
from scorer.imaging.framing import Framing
from scorer.learning.limits import review_limit_of_normals
from scorer.recipes.calibration import calibrate
from scorer.recipes.in_force import InForce
from scorer.recipes.recipe import Recipe
from scorer.recipes.reference_store import PreparedNormals, ReferencesKey, ReferenceStore
from scorer.settings import ScorerSettings
from storage.areas import masks
from storage.areas.masks import Mask
from storage.database.engine import Database
from storage.errors import NotFound
from storage.learning import defect_sets
from storage.learning.defect_sets import HeadInUse
from storage.line import normal_sets, stations, thresholds
from storage.line.normal_sets import NormalImage, NormalSet
from storage.line.stations import Station
from storage.line.thresholds import Threshold

log = structlog.get_logger()

MEMORY_DIVISOR = 4
"""References take this part of the device's memory, one quarter, unless the settings give a limit."""


@dataclass(frozen=True, slots=True)
class _Made:
    """All of a recipe that does not depend on labels; `digest` is of everything that references depend on."""

    detector: Detector
    framing: Framing
    normals: PreparedNormals
    digest: str
    bit_depth: int
    mask_version: int
    masked: Detector | None

    def recipe(self, model_id: str, references: References, threshold: Threshold) -> Recipe:
        return Recipe(
            self.detector,
            model_id,
            references,
            self.framing,
            threshold,
            self.normals.picture_limits,
            self.bit_depth,
            self.mask_version,
            self.masked,
        )


class RecipeLoader:
    """Loads detectors, one per framing, and prepares references and thresholds; from any thread.

    Two threads that need the same references wait for each other; with different ones they do not.
    """

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
        self._images = images
        self._settings = settings
        self._name = name
        self._clock = clock
        self._load = load
        self._detectors: dict[stations.FramingKind, Detector] = {}
        self._references: ReferenceStore | None = None
        self._bit_depths: dict[int, int] = {}  # learnt, by id of the normal set
        self._terms: dict[int, DefectTerm] = {}  # by id of the defect set
        self._masks: dict[tuple[int, int], Mask] = {}  # by station id and version, which never changes
        self._lock = threading.RLock()

    def detector(self, framing: stations.FramingKind) -> Detector:
        """Return the detector that the settings name, for this framing; raises `ModelUnavailable`."""
        with self._lock:
            if framing not in self._detectors:
                self._detectors[framing] = self._load(self._settings, Framing(framing))
            return self._detectors[framing]

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
        made = self._made(station, normal_set)
        head = in_force.heads.get((normal_set.id, made.detector.model_id)) if station.settings.learn_defects else None
        if head is not None and learns_defects(made.detector):
            threshold = in_force.thresholds.get((normal_set.id, head.scoring_model_id))
            if threshold is not None and _is_current(threshold, station, made):
                references = made.detector.with_term(made.normals.references, self._term(head))
                return made.recipe(head.scoring_model_id, references, threshold)
        return self._without_head(station, normal_set, in_force, made)

    def recipe_without_head(self, station: Station, normal_set: NormalSet) -> Recipe:
        """Return the recipe that scores by the normals alone, whether a defect set is in use or not; see `recipe`."""
        return self._without_head(station, normal_set, self._read_in_force(normal_set), self._made(station, normal_set))

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

    def _made(self, station: Station, normal_set: NormalSet) -> _Made:
        with self._lock:
            detector = self.detector(station.settings.framing)
            depth = self._bit_depth(station, normal_set)
            mask, store = self._mask(station), self._store()
        masked = None if mask is None else _with_mask(detector, mask, station)
        digest = _digest(station, normal_set, detector, depth, mask)
        key = ReferencesKey(detector.model_id, normal_set.id, digest)
        normals = store.get(key, lambda: self._prepare(station, normal_set, detector, masked, depth))
        version = 0 if mask is None else station.mask_version
        return _Made(detector, Framing(station.settings.framing), normals, digest, depth, version, masked)

    def _without_head(self, station: Station, normal_set: NormalSet, in_force: InForce, made: _Made) -> Recipe:
        threshold = in_force.thresholds.get((normal_set.id, made.detector.model_id))
        if threshold is None or not _is_current(threshold, station, made):
            with self._lock:
                threshold = self._threshold(station, normal_set, made)
        return made.recipe(made.detector.model_id, made.normals.references, threshold)

    def _term(self, head: HeadInUse) -> DefectTerm:
        """Return the term of a defect set, which never changes; read once."""
        with self._lock:
            if head.id not in self._terms:
                with self._database.read() as session:
                    self._terms[head.id] = DefectTerm.from_bytes(defect_sets.head(session, head.id))
            return self._terms[head.id]

    def _mask(self, station: Station) -> Mask | None:
        """Return the station's mask, None where everything is inspected; a version is read once."""
        key = station.id, station.mask_version
        if key not in self._masks:
            with self._database.read() as session:
                self._masks[key] = masks.mask_of(session, *key)
        mask = self._masks[key]
        return None if mask.is_empty else mask

    def _store(self) -> ReferenceStore:
        if self._references is None:
            self._references = ReferenceStore(
                self._settings.references_path,
                references_budget_bytes(self._settings),
                str(resolve_device(self._settings.device)),
            )
        return self._references

    def _prepare(
        self, station: Station, normal_set: NormalSet, detector: Detector, masked: Detector | None, bit_depth: int
    ) -> PreparedNormals:
        normals = [self._normal(image, detector, bit_depth) for image in normal_set.images]
        if masked is not None:
            _require_inspected(station, masked, normals)
        return PreparedNormals(
            (masked or detector).references(normals, station.settings.object_name),
            PictureLimits.from_normals([measure(normal) for normal in normals]),
        )

    def _normal(self, image: NormalImage, detector: Detector, bit_depth: int) -> RgbImage:
        with _names_the_image(image):
            data = self._images.get(image.reference)
            return decode.decode(data, self._settings.image_limits, detector.target_size, bit_depth).pixels

    def _bit_depth(self, station: Station, normal_set: NormalSet) -> int:
        """Return the station's bit depth, else the one kept with the set, else learn it from the images and keep it."""
        if station.settings.bit_depth != "auto":
            return int(station.settings.bit_depth)
        if normal_set.bit_depth is not None:
            return normal_set.bit_depth
        if normal_set.id not in self._bit_depths:
            depth = smallest_bit_depth(max(self._largest_sample(image) for image in normal_set.images))
            with self._database.begin() as session:
                normal_sets.set_bit_depth(session, normal_set.id, depth)
            self._bit_depths[normal_set.id] = depth
        return self._bit_depths[normal_set.id]

    def _largest_sample(self, image: NormalImage) -> int:
        """Return the largest sample of a normal whose words have 16 bits; 0 for any other, which is not decoded."""
        with _names_the_image(image):
            opened = decode.open_image(self._images.get(image.reference), self._settings.image_limits)
            return (opened.decode().largest_sample or 0) if opened.is_deep else 0

    def _threshold(self, station: Station, normal_set: NormalSet, made: _Made) -> Threshold:
        """Return the current threshold of these references at the station's false reject rate, or calibrate one here.

        It is looked up again in the transaction that records it. Two workers on PostgreSQL may still both record one:
        the two are equal, and the newest is current.
        """
        rate, normal_scores = station.settings.false_reject_rate, made.normals.references.normal_scores
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


def references_budget_bytes(settings: ScorerSettings) -> int:
    """Return the bytes that references may take in memory: the settings' limit, or a part of the device's memory."""
    if settings.max_references_bytes is not None:
        return settings.max_references_bytes
    return memory_bytes(resolve_device(settings.device)) // MEMORY_DIVISOR


@contextmanager
def _names_the_image(image: NormalImage) -> Iterator[None]:
    try:
        yield
    except (NotFound, BadImage) as error:
        raise InvalidNormalSet(f"The normal image {image.name} can't be used: {error}") from error


def _uses_object_name(detector: Detector) -> bool:
    """Return whether references may depend on the object's name; those of a plug-in that does not tell may."""
    return bool(getattr(detector, "uses_object_name", True))


def _with_mask(detector: Detector, mask: Mask, station: Station) -> Detector:
    """Return the detector with a mask; raises `InvalidNormalSet` for one that has no masks, such as a plug-in's."""
    if not isinstance(detector, TakesMask):
        raise InvalidNormalSet(
            f"The detector {detector.name} can't ignore parts of a picture: clear the mask with "
            f"`andon station mask clear {station.name}`, or choose another detector."
        )
    return detector.with_mask(mask)


def _require_inspected(station: Station, detector: Detector, normals: Sequence[RgbImage]) -> None:
    """Raise `InvalidNormalSet` where the mask leaves no cell of an image, as it may where the framing cuts images."""
    for normal in {image.shape: image for image in normals}.values():
        if not detector.prepare(normal).cells.any():
            raise InvalidNormalSet(
                f"The mask of {station.name} leaves nothing to inspect in the framing {station.settings.framing}: "
                f"change it with `andon station mask set {station.name} FILE`."
            )


def _digest(
    station: Station, normal_set: NormalSet, detector: Detector, bit_depth: int, mask: Mask | None = None
) -> str:
    """Return a digest of everything besides the model that references depend on."""
    object_name = station.settings.object_name if _uses_object_name(detector) else ""
    digest = hashlib.sha256(f"{object_name}\n{decode.VERSION}, {bit_depth} bits".encode())
    if mask is not None:
        digest.update(f"\nmask {json.dumps(mask.to_json(), sort_keys=True)}".encode())
    for reference in sorted(image.reference for image in normal_set.images):
        digest.update(f"\n{reference}".encode())
    return digest.hexdigest()


def _is_current(threshold: Threshold, station: Station, made: _Made) -> bool:
    """Return whether a threshold was made at the station's rate and for references that depend on the same.

    Of one from before digests were stored that is unknown. It is made again where it was calibrated from the normals
    alone, which costs nothing, and the object's name matters.
    """
    if threshold.false_reject_rate != station.settings.false_reject_rate:
        return False
    if threshold.references_digest is None:
        return threshold.kind != "calibrated" or not _uses_object_name(made.detector)
    return threshold.references_digest == made.digest


def _reason(replaced: Threshold | None, station: Station, digest: str) -> str:
    """Return why a new threshold replaces another one, for the history; empty for the first one or another rate."""
    if replaced is None or replaced.references_digest in (None, digest):
        return ""
    settings = station.settings
    mask = f"mask version {station.mask_version}" if station.mask_version else "no mask"
    return f"the references have changed: object {settings.object_name!r}, bit depth {settings.bit_depth}, {mask}"
