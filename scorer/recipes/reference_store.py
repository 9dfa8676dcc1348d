"""References are computed once per model and normal set, kept as safetensors, and held in memory while used."""

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
import structlog
import torch
from crc32c import crc32c
from safetensors.torch import save

from foundation.atomic_files import write_file
from scorer.detectors.protocol import References

log = structlog.get_logger()

FORMAT = "2"


@dataclass(frozen=True, slots=True)
class ReferencesKey:
    """What references depend on. `normals` is a digest of the set's images and settings: ids alone repeat in a new
    database."""

    model_id: str
    normal_set_id: int
    normals: str


class ReferenceStore:
    """A folder of references and a memory of those used last; used from one thread, the folder by any process.

    `max_bytes` bounds the memory, not the folder; the references in use stay even where they alone are larger.
    """

    def __init__(self, folder: Path, max_bytes: int, device: torch.device) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._device = device
        self._held: OrderedDict[ReferencesKey, References] = OrderedDict()
        self._held_bytes = 0

    def get(self, key: ReferencesKey, compute: Callable[[], References]) -> References:
        """Return references from memory, else from the folder, else from `compute`, whose errors pass through."""
        references = self._held.get(key)
        if references is None:
            references = self._read(key)
            if references is None:
                references = compute()
                self._write(key, references)
            self._held[key] = references
            self._held_bytes += _size(references)
            self._let_go()
        self._held.move_to_end(key)
        return references

    @property
    def held_bytes(self) -> int:
        """Bytes of all tensors in memory."""
        return self._held_bytes

    def _let_go(self) -> None:
        while len(self._held) > 1 and self._held_bytes > self._max_bytes:
            _, gone = self._held.popitem(last=False)
            self._held_bytes -= _size(gone)

    def _path(self, key: ReferencesKey) -> Path:
        return self._folder / key.model_id / f"{key.normal_set_id}.safetensors"

    def _read(self, key: ReferencesKey) -> References | None:
        path = self._path(key)
        if not path.exists():
            return None
        try:
            with safetensors.safe_open(path, framework="pt", device="cpu") as file:
                notes: Mapping[str, str] = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
            if notes != _notes(key, notes["normal-scores"], tensors):
                raise ValueError("they were made of other normals, by another model, or were changed since")
            scores = tuple(float(score) for score in json.loads(notes["normal-scores"]))
        except (OSError, KeyError, ValueError, TypeError, safetensors.SafetensorError) as error:
            log.warning("references can't be used and are computed anew", path=str(path), error=str(error))
            return None
        return References(key.model_id, {name: value.to(self._device) for name, value in tensors.items()}, scores)

    def _write(self, key: ReferencesKey, references: References) -> None:
        path = self._path(key)
        tensors = {name: tensor.cpu().contiguous() for name, tensor in references.tensors.items()}
        scores = json.dumps([float(score) for score in references.normal_scores])
        try:
            write_file(path, save(tensors, metadata=_notes(key, scores, tensors)))
        except OSError as error:  # they are in memory and can be computed again: no reason to stop the line
            log.warning("references can't be kept and will be computed again", path=str(path), error=str(error))


def _notes(key: ReferencesKey, scores: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
    return {
        "andon-references": FORMAT,
        "model-id": key.model_id,
        "normal-set-id": str(key.normal_set_id),
        "normals": key.normals,
        "normal-scores": scores,
        "contents": _checksum(tensors),
    }


def _checksum(tensors: Mapping[str, torch.Tensor]) -> str:
    """Of names, shapes and values, by CRC-32C: safetensors itself notices a torn file but not a changed bit."""
    check = 0
    for name in sorted(tensors):
        tensor = tensors[name]
        check = crc32c(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode(), check)
        check = crc32c(tensor.contiguous().flatten().view(torch.uint8).numpy().data, check)
    return f"{check:08x}"


def _size(references: References) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in references.tensors.values())
