"""References as a safetensors file, for callers that do not know torch."""

import json
from collections.abc import Mapping
from pathlib import Path

import safetensors
import torch
from crc32c import crc32c
from safetensors.torch import save

from scorer.detectors.protocol import References
from scorer.errors import InvalidReferences

FORMAT = "4"
KIND, MODEL_ID, NORMAL_SCORES, CHECKSUM = OURS = ("andon-references", "model-id", "normal-scores", "checksum")


def references_to_bytes(references: References, metadata: Mapping[str, str]) -> bytes:
    """Return the content of a safetensors file with the references and the caller's own metadata."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in references.tensors.items()}
    scores = json.dumps([float(score) for score in references.normal_scores])
    return save(tensors, {**metadata, **_metadata(references.model_id, scores, tensors, metadata)})


def read_references(path: Path, device: str) -> tuple[References, dict[str, str]]:
    """Read a file that `references_to_bytes` made, with the caller's own metadata.

    Args:
        path: The file; only the tensors that are read are held in memory.
        device: Where the tensors go, such as ``cpu`` or ``cuda``.

    Raises:
        InvalidReferences: The file is cut short, of another format, or was changed since it was written.
        OSError: The file cannot be read.
    """
    try:
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            found: dict[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
        metadata = {name: value for name, value in found.items() if name not in OURS}
        expected = _metadata(found[MODEL_ID], found[NORMAL_SCORES], tensors, metadata)
        scores = tuple(float(score) for score in json.loads(found[NORMAL_SCORES]))
    except (KeyError, ValueError, TypeError, safetensors.SafetensorError) as error:
        raise InvalidReferences(f"{path} is not a whole file of references: {type(error).__name__}: {error}") from error
    if {name: found.get(name) for name in expected} != expected:
        raise InvalidReferences(f"{path} is of another format or was changed since it was written.")
    on_device = {name: tensor.to(device) for name, tensor in tensors.items()}
    return References(found[MODEL_ID], on_device, scores), metadata


def _metadata(
    model_id: str, normal_scores: str, tensors: Mapping[str, torch.Tensor], callers: Mapping[str, str]
) -> dict[str, str]:
    return {
        KIND: FORMAT,
        MODEL_ID: model_id,
        NORMAL_SCORES: normal_scores,
        CHECKSUM: _checksum(tensors, callers),
    }


def _checksum(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> str:
    """Return a CRC-32C of metadata, names, types, shapes and values.

    Safetensors notices a torn file but not a changed bit.
    """
    check = crc32c(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        check = crc32c(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode(), check)
        check = crc32c(tensor.contiguous().flatten().view(torch.uint8).numpy().data, check)
    return f"{check:08x}"
