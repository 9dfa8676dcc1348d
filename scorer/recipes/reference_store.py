"""Store references: computed once per model and normal set, saved as safetensors, and cached in memory."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from foundation.atomic_files import write_file
from scorer.detectors.protocol import References
from scorer.detectors.reference_file import read_references, references_to_bytes
from scorer.errors import InvalidReferences

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ReferencesKey:
    """The key of references: everything that they depend on.

    `normals` is a digest of the set's images and settings, because ids repeat in a new database.
    """

    model_id: str
    normal_set_id: int
    normals: str


class ReferenceStore:
    """A folder of references with a cache of those used last; from one thread, the folder from any process."""

    def __init__(self, folder: Path, max_bytes: int, device: str) -> None:
        """Open a folder, which need not exist.

        Args:
            folder: Where references are saved.
            max_bytes: Bounds the cache, not the folder; references in use stay even where they alone are larger.
            device: Where references are loaded to, such as ``cpu`` or ``cuda``.
        """
        self._folder = folder
        self._max_bytes = max_bytes
        self._device = device
        self._cache: OrderedDict[ReferencesKey, References] = OrderedDict()
        self._cached_bytes = 0

    def get(self, key: ReferencesKey, compute: Callable[[], References]) -> References:
        """Return references from the cache, else from the folder, else from `compute`, whose errors pass through."""
        references = self._cache.get(key)
        if references is None:
            references = self._read(key)
            if references is None:
                references = compute()
                self._write(key, references)
            self._cache[key] = references
            self._cached_bytes += references.size_bytes
            self._evict()
        self._cache.move_to_end(key)
        return references

    @property
    def cached_bytes(self) -> int:
        """Bytes of all tensors in the cache."""
        return self._cached_bytes

    def _evict(self) -> None:
        while len(self._cache) > 1 and self._cached_bytes > self._max_bytes:
            _, evicted = self._cache.popitem(last=False)
            self._cached_bytes -= evicted.size_bytes

    def _path(self, key: ReferencesKey) -> Path:
        return self._folder / key.model_id / f"{key.normal_set_id}.safetensors"

    def _read(self, key: ReferencesKey) -> References | None:
        path = self._path(key)
        if not path.exists():
            return None
        try:
            references, metadata = read_references(path, self._device)
            if references.model_id != key.model_id or metadata != _metadata(key):
                raise InvalidReferences(f"{path} was made of other normals or by another model.")
        except (OSError, InvalidReferences) as error:
            log.warning("references can't be used and are computed again", path=str(path), error=str(error))
            return None
        return references

    def _write(self, key: ReferencesKey, references: References) -> None:
        path = self._path(key)
        try:
            write_file(path, references_to_bytes(references, _metadata(key)))
        except OSError as error:  # they are cached and can be computed again: no reason to stop the line
            log.warning("references can't be saved and will be computed again", path=str(path), error=str(error))


def _metadata(key: ReferencesKey) -> dict[str, str]:
    return {"normal-set-id": str(key.normal_set_id), "normals": key.normals}
