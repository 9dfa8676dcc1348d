"""The token cache: patch tokens of one dataset's images, encoded once for every method, number of shots and seed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from foundation.atomic_files import replace_file
from imaging.rgb import RgbImage
from imaging.rotation import rotate
from scorer.detectors.normal_sets import content_digest
from scorer.detectors.patch_based.detector import ENCODE_BATCH_SIZE
from scorer.detectors.patch_based.patches import Patches
from scorer.evaluation.datasets import read_image
from scorer.evaluation.timing import Timer
from scorer.settings import ScorerSettings

MAX_CACHE_BYTES = 6 * 1024**3
"""The most bytes of tokens in memory; 400 images in nine tiles each take 2 GiB."""

Encode = Callable[[Sequence[RgbImage]], Patches]
Item = tuple[Path, int]
"""A file, and by how many degrees its image is rotated."""


@dataclass(frozen=True, slots=True)
class _CachedImage:
    """The tokens of one image, and the milliseconds that encoding it took."""

    patches: Patches
    encode_ms: float


class TokenCache:
    """Caches tokens by file and rotation: in memory up to a bound, first come first served, and in a folder if given.

    A folder belongs to one backbone, framing and dataset, and holds the images that memory holds.
    """

    def __init__(
        self,
        encode: Encode,
        limits: ScorerSettings,
        timer: Timer,
        folder: Path | None = None,
        max_bytes: int = MAX_CACHE_BYTES,
    ) -> None:
        """Create an empty cache in front of `encode`; `limits` limit decoding."""
        self._encode = encode
        self._limits = limits
        self._timer = timer
        self._folder = folder
        self._max_bytes = max_bytes
        self._bytes = 0
        self._cached: dict[Item, _CachedImage] = {}
        self._digests: dict[Path, bytes] = {}
        self._encode_ms: list[float] = []

    @property
    def encode_ms(self) -> float:
        """Milliseconds per image for framing and network: the median of all images so far."""
        return median(self._encode_ms)

    def sort_normals(self, normals: Sequence[Path]) -> list[Path]:
        """Return normals in the order in which a detector fits them: by a hash of their pixels."""
        for path in normals:
            if path not in self._digests:
                self._digests[path] = content_digest(read_image(path, self._limits))
        return sorted(normals, key=lambda path: self._digests[path])

    def patches(self, paths: Sequence[Path], rotations: tuple[int, ...] = (0,)) -> Patches:
        """Return the tokens of images and of their copies rotated by degrees, as a detector encodes them."""
        items = [(path, degrees) for path in paths for degrees in rotations]
        found = {item: self._cached[item] for item in items if item in self._cached}
        if self._folder is not None:
            files = {item: self._folder / _file_name(item) for item in items if item not in found}
            found |= {item: self._read(item, file) for item, file in files.items() if file.is_file()}
        missing = [item for item in items if item not in found]
        for first in range(0, len(missing), ENCODE_BATCH_SIZE):
            found |= self._encode_items(missing[first : first + ENCODE_BATCH_SIZE])
        return Patches.concatenate([found[item].patches for item in items], copies=len(rotations))

    def _encode_items(self, items: Sequence[Item]) -> dict[Item, _CachedImage]:
        images = [rotate(read_image(path, self._limits), degrees) for path, degrees in items]
        started_s = self._timer()
        patches = self._encode(images)
        encode_ms = 1000 * (self._timer() - started_s) / len(items)
        encoded = {}
        for index, item in enumerate(items):
            # `take` copies, so that an image that is not cached does not stay in memory with one of its batch that is.
            image = _CachedImage(patches.take([index]), encode_ms)
            if self._store(item, image) and self._folder is not None:
                _write(self._folder / _file_name(item), image)
            encoded[item] = image
        return encoded

    def _store(self, item: Item, image: _CachedImage) -> bool:
        self._encode_ms.append(image.encode_ms)
        if self._bytes + image.patches.nbytes > self._max_bytes:
            return False
        self._cached[item] = image
        self._bytes += image.patches.nbytes
        return True

    def _read(self, item: Item, path: Path) -> _CachedImage:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        image = _CachedImage(Patches.from_arrays(arrays), float(arrays["encode_ms"]))
        self._store(item, image)
        return image


def _file_name(item: Item) -> str:
    path, degrees = item
    return f"{path.parent.parent.name}-{path.parent.name}-{path.name}-{degrees}.npz"


def _write(path: Path, image: _CachedImage) -> None:
    with replace_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, encode_ms=np.array(image.encode_ms), **image.patches.to_arrays())
