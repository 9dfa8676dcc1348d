"""Tokens of one dataset's pictures, computed once and handed to every method, number of shots and seed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from statistics import median

import numpy as np
import torch

from scorer.detectors.patch_detector import ENCODE_BATCH_SIZE, Patches, rotated
from scorer.detectors.protocol import RgbImage
from scorer.evaluation.datasets import read_image
from scorer.evaluation.timing import Timer
from scorer.settings import ScorerSettings

MAX_CACHE_BYTES = 6 * 1024**3
"""Tokens above this are not kept in memory: the tested 400 pictures in nine tiles take 2 GiB."""

Encode = Callable[[Sequence[RgbImage]], Patches]
Item = tuple[Path, int]
"""A file, and by how many degrees the picture is turned."""


@dataclass(frozen=True, slots=True)
class _Tokens:
    """Of one picture: (L, P, W) float32, (P,) bool, and what it took to encode."""

    tokens: torch.Tensor
    valid_mask: torch.Tensor
    grid: tuple[int, int]
    took_ms: float

    @property
    def nbytes(self) -> int:
        return self.tokens.nbytes + self.valid_mask.nbytes


class TokenCache:
    """Keeps tokens by file and turn, in memory up to a bound (what comes first stays) and, where asked, in a folder.

    The folder belongs to one backbone, framing and dataset; it takes what the memory takes.
    """

    def __init__(
        self,
        encode: Encode,
        limits: ScorerSettings,
        clock: Timer,
        folder: Path | None = None,
        max_bytes: int = MAX_CACHE_BYTES,
    ) -> None:
        self._encode = encode
        self._limits = limits
        self._clock = clock
        self._folder = folder
        self._most_bytes = max_bytes
        self._bytes = 0
        self._kept: dict[Item, _Tokens] = {}
        self._digests: dict[Path, bytes] = {}
        self._took_ms: list[float] = []

    @property
    def encode_ms(self) -> float:
        """Framing and network: milliseconds an image, the median of all so far."""
        return median(self._took_ms)

    def in_order(self, normals: Sequence[Path]) -> list[Path]:
        """Normals as a detector sorts them: by what is on them, so that their order says nothing."""
        for path in normals:
            if path not in self._digests:
                self._digests[path] = sha256(read_image(path, self._limits).tobytes()).digest()
        return sorted(normals, key=lambda path: self._digests[path])

    def patches(self, paths: Sequence[Path], turns: tuple[int, ...] = (0,)) -> Patches:
        """Tokens of pictures and their turned copies, as a detector's `patches` and `normal_patches` give them."""
        items = [(path, degrees) for path in paths for degrees in turns]
        found = {item: self._kept[item] for item in items if item in self._kept}
        if self._folder is not None:
            files = {item: self._folder / _name(item) for item in items if item not in found}
            found |= {item: self._read(item, file) for item, file in files.items() if file.is_file()}
        missing = [item for item in items if item not in found]
        for first in range(0, len(missing), ENCODE_BATCH_SIZE):
            found |= self._encoded(missing[first : first + ENCODE_BATCH_SIZE])
        tokens = torch.stack([found[item].tokens for item in items], dim=1)
        valid_mask = torch.stack([found[item].valid_mask for item in items])
        return Patches(tokens, valid_mask, found[items[0]].grid, copies=len(turns))

    def _encoded(self, items: Sequence[Item]) -> dict[Item, _Tokens]:
        pictures = [rotated(read_image(path, self._limits), degrees) for path, degrees in items]
        begun_s = self._clock()
        patches = self._encode(pictures)
        took_ms = 1000 * (self._clock() - begun_s) / len(items)
        found = {}
        for place, item in enumerate(items):
            # Copies, so that what is not kept of a batch does not stay in memory with what is.
            one = _Tokens(patches.tokens[:, place].clone(), patches.valid_mask[place].clone(), patches.grid, took_ms)
            if self._keep(item, one) and self._folder is not None:
                _write(self._folder / _name(item), one)
            found[item] = one
        return found

    def _keep(self, item: Item, one: _Tokens) -> bool:
        self._took_ms.append(one.took_ms)
        if self._bytes + one.nbytes > self._most_bytes:
            return False
        self._kept[item] = one
        self._bytes += one.nbytes
        return True

    def _read(self, item: Item, path: Path) -> _Tokens:
        with np.load(path, allow_pickle=False) as file:
            tokens, valid_mask = torch.from_numpy(file["tokens"]), torch.from_numpy(file["valid_mask"])
            rows, columns = file["grid"].tolist()
            one = _Tokens(tokens, valid_mask, (rows, columns), float(file["took_ms"]))
        self._keep(item, one)
        return one


def _name(item: Item) -> str:
    path, degrees = item
    return f"{path.parent.parent.name}-{path.parent.name}-{path.name}-{degrees}.npz"


def _write(path: Path, one: _Tokens) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    arrays = {"tokens": one.tokens.cpu().numpy(), "valid_mask": one.valid_mask.cpu().numpy()}
    np.savez(partial, allow_pickle=False, grid=np.array(one.grid), took_ms=np.array(one.took_ms), **arrays)
    partial.replace(path)
