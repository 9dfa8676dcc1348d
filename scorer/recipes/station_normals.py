"""What a station's normals lead to, whatever people label: detector, references, framing, mask and bit depth."""

import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from imaging import decode
from imaging.bit_depth import smallest_bit_depth
from imaging.errors import BadImage
from imaging.quality.picture_quality import PictureLimits, measure
from imaging.rgb import RgbImage
from scorer.detectors import registry
from scorer.detectors.protocol import Detector, References, TakesMask
from scorer.engines.devices import memory_bytes, resolve_device
from scorer.errors import InvalidNormalSet
from scorer.images import RetriableImageStore
from scorer.imaging.framing import Framing
from scorer.recipes.recipe import Recipe
from scorer.recipes.reference_store import PreparedNormals, ReferencesKey, ReferenceStore
from scorer.settings import ScorerSettings
from storage.areas import masks
from storage.areas.masks import Mask
from storage.database.engine import Database
from storage.errors import NotFound
from storage.line import normal_sets, stations
from storage.line.normal_sets import NormalImage, NormalSet
from storage.line.stations import Station
from storage.line.thresholds import Threshold

MEMORY_DIVISOR = 4
"""References take this part of the device's memory, one quarter, unless the settings give a limit."""


@dataclass(frozen=True, slots=True)
class StationNormals:
    """All of a recipe that does not depend on labels.

    Attributes:
        detector: The detector that scores.
        framing: How it frames images.
        prepared: Its references of the normals, and the limits on pictures.
        digest: A digest of everything besides the model that the references depend on.
        bit_depth: The bits that the camera fills of samples in words of 16.
        mask_version: The version of the station's mask, 0 without one.
        masked: The same detector with the mask, which prepares images; None without one.
    """

    detector: Detector
    framing: Framing
    prepared: PreparedNormals
    digest: str
    bit_depth: int
    mask_version: int
    masked: Detector | None

    @property
    def uses_object_name(self) -> bool:
        """Whether references may depend on the object's name; those of a plug-in that does not tell may."""
        return _uses_object_name(self.detector)

    def recipe(self, model_id: str, references: References, threshold: Threshold) -> Recipe:
        """Return the recipe with this threshold; `references` are the prepared ones, with a head or without."""
        return Recipe(
            self.detector,
            model_id,
            references,
            self.framing,
            threshold,
            self.prepared.picture_limits,
            self.bit_depth,
            self.mask_version,
            self.masked,
        )


class StationNormalsLoader:
    """Loads detectors, one per framing, and prepares references; from any thread.

    Two threads that need the same references wait for each other; with different ones they do not.
    """

    def __init__(
        self, database: Database, images: RetriableImageStore, settings: ScorerSettings, load: registry.LoadDetector
    ) -> None:
        """Load nothing yet."""
        self._database = database
        self._images = images
        self._settings = settings
        self._load = load
        self._detectors: dict[stations.FramingKind, Detector] = {}
        self._references: ReferenceStore | None = None
        self._bit_depths: dict[int, int] = {}  # learnt, by id of the normal set
        self._masks: dict[tuple[int, int], Mask] = {}  # by station id and version, which never changes
        self._lock = threading.RLock()

    def detector(self, framing: stations.FramingKind) -> Detector:
        """Return the detector that the settings name, for this framing; raises `ModelUnavailable`."""
        with self._lock:
            if framing not in self._detectors:
                self._detectors[framing] = self._load(self._settings, Framing(framing))
            return self._detectors[framing]

    def load(self, station: Station, normal_set: NormalSet) -> StationNormals:
        """Return what a station's normal set leads to; raises `InvalidNormalSet` and `ModelUnavailable`."""
        with self._lock:
            detector = self.detector(station.settings.framing)
            depth = self._bit_depth(station, normal_set)
            mask, store = self._mask(station), self._store()
        masked = None if mask is None else _with_mask(detector, mask, station)
        digest = _digest(station, normal_set, detector, depth, mask)
        key = ReferencesKey(detector.model_id, normal_set.id, digest)
        normals = store.get(key, lambda: self._prepare(station, normal_set, detector, masked, depth))
        version = 0 if mask is None else station.mask_version
        return StationNormals(detector, Framing(station.settings.framing), normals, digest, depth, version, masked)

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
