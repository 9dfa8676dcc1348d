"""Store what is computed once per model and normal set: saved as safetensors, and cached in memory."""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from foundation.atomic_files import write_file
from imaging.quality.picture_quality import PictureLimits
from scorer.detectors.protocol import References
from scorer.detectors.reference_file import read_references, references_to_bytes
from scorer.errors import InvalidReferences

PICTURE_LIMITS = "picture-limits"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ReferencesKey:
    """The key of references: everything that they depend on.

    `normals` is a digest of the set's images and settings, because ids repeat in a new database.
    """

    model_id: str
    normal_set_id: int
    normals: str


@dataclass(frozen=True, slots=True)
class PreparedNormals:
    """What a recipe gets from the images of a normal set: the detector's references, and the limits on pictures."""

    references: References
    picture_limits: PictureLimits


class ReferenceStore:
    """A folder of prepared normals with a cache of those used last; from any thread, the folder from any process."""

    def __init__(self, folder: Path, max_bytes: int, device: str) -> None:
        """Open a folder, which need not exist.

        Args:
            folder: Where references are saved.
            max_bytes: Bounds the cache, not the folder; those in use stay even where they alone are larger.
            device: Where references are loaded to, such as ``cpu`` or ``cuda``.
        """
        self._folder = folder
        self._max_bytes = max_bytes
        self._device = device
        self._cache: OrderedDict[ReferencesKey, PreparedNormals] = OrderedDict()
        self._cached_bytes = 0
        self._lock = threading.Lock()  # of the cache; held for moments only
        self._preparing: dict[ReferencesKey, threading.Lock] = {}  # one thread prepares, others of its key wait

    def get(self, key: ReferencesKey, compute: Callable[[], PreparedNormals]) -> PreparedNormals:
        """Return prepared normals from the cache, else the folder, else `compute`, whose errors pass through.

        While normals are read or computed, others can be had: a large set that is tried does not stop the line.
        """
        prepared = self._cached(key)
        if prepared is not None:
            return prepared
        with self._lock:
            preparing = self._preparing.setdefault(key, threading.Lock())
        try:
            with preparing:
                prepared = self._cached(key)  # another thread may have prepared them meanwhile
                if prepared is None:
                    prepared = self._read(key)
                    if prepared is None:
                        prepared = compute()
                        self._write(key, prepared)
                    self._put(key, prepared)
            return prepared
        finally:
            with self._lock:
                self._preparing.pop(key, None)

    @property
    def cached_bytes(self) -> int:
        """Bytes of all tensors in the cache."""
        return self._cached_bytes

    def _cached(self, key: ReferencesKey) -> PreparedNormals | None:
        with self._lock:
            prepared = self._cache.get(key)
            if prepared is not None:
                self._cache.move_to_end(key)
            return prepared

    def _put(self, key: ReferencesKey, prepared: PreparedNormals) -> None:
        with self._lock:
            self._cache[key] = prepared
            self._cached_bytes += prepared.references.size_bytes
            self._evict()

    def _evict(self) -> None:
        while len(self._cache) > 1 and self._cached_bytes > self._max_bytes:
            _, evicted = self._cache.popitem(last=False)
            self._cached_bytes -= evicted.references.size_bytes

    def _path(self, key: ReferencesKey) -> Path:
        return self._folder / key.model_id / f"{key.normal_set_id}.safetensors"

    def _read(self, key: ReferencesKey) -> PreparedNormals | None:
        path = self._path(key)
        if not path.exists():
            return None
        try:
            references, metadata = read_references(path, self._device)
            limits = metadata.pop(PICTURE_LIMITS, "")
            if references.model_id != key.model_id or metadata != _metadata(key):
                raise InvalidReferences(f"{path} was made of other normals or by another model.")
            return PreparedNormals(references, _limits_from_json(path, limits))
        except (OSError, InvalidReferences) as error:
            log.warning("references can't be used and are computed again", path=str(path), error=str(error))
            return None

    def _write(self, key: ReferencesKey, prepared: PreparedNormals) -> None:
        path = self._path(key)
        metadata = _metadata(key) | {PICTURE_LIMITS: json.dumps(asdict(prepared.picture_limits), sort_keys=True)}
        try:
            write_file(path, references_to_bytes(prepared.references, metadata))
        except OSError as error:  # they are cached and can be computed again: no reason to stop the line
            log.warning("references can't be saved and will be computed again", path=str(path), error=str(error))


def _metadata(key: ReferencesKey) -> dict[str, str]:
    return {"normal-set-id": str(key.normal_set_id), "normals": key.normals}


def _limits_from_json(path: Path, text: str) -> PictureLimits:
    try:
        return PictureLimits(**{name: float(value) for name, value in json.loads(text).items()})
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidReferences(f"{path} has no limits on pictures that this version can read.") from error
