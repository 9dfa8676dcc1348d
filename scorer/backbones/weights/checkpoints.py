"""Tensors from files of unknown origin: read without running code, loaded with nothing missing or unexpected."""

import re
import warnings
from collections.abc import Collection, Mapping
from hashlib import sha256
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load
from torch import nn

from scorer.errors import InvalidWeights

WRAPPERS = ("state_dict", "model_state", "model")
"""Keys under which training scripts store a model's tensors: OpenCLIP, PySlowFast (InCTRL) and others."""


def read_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """Read every tensor of a ``.safetensors`` file or a torch checkpoint; raises `InvalidWeights`.

    A checkpoint is read with `weights_only`, so a pickle that holds code is refused and none of it runs.
    """
    if not path.is_file():
        raise InvalidWeights(f"There is no file {path}; name the checkpoint to read.")
    found = _safetensors(path) if path.suffix == ".safetensors" else _unwrapped(_torch_checkpoint(path), path)
    return {_without_wrapping(name): tensor for name, tensor in found.items()}


def load_into(
    module: nn.Module, tensors: Mapping[str, torch.Tensor], description: str, optional: Collection[str] = ()
) -> None:
    """Load tensors into a module once they pass `check_state_dict`."""
    check_state_dict(module.state_dict(), tensors, description, optional)
    module.load_state_dict(tensors, strict=False)


def load_packaged(module: nn.Module, path: Path, expected: str | None, description: str) -> str:
    """Load the weights that ship in this package into a module, and return the sha256 of their file.

    Args:
        module: The network, loaded in place.
        path: The safetensors file.
        expected: The sha256 that the file must have; None for any.
        description: The weights' name in messages.

    Raises:
        InvalidWeights: The file is missing, cut short, changed or of another network.
    """
    if not path.is_file():
        raise InvalidWeights(f"The weights of {description} are not at {path}; install the package again.")
    content = path.read_bytes()
    found = sha256(content).hexdigest()
    if expected is not None and found != expected:
        raise InvalidWeights(
            f"{path} has sha256 {found[:12]}…, not {expected[:12]}…: it was cut short or changed; "
            "install the package again."
        )
    try:
        load_into(module, load(content), str(path))
    except SafetensorError as error:
        raise InvalidWeights(f"{path} is no whole safetensors file: {error}") from error
    return found


def check_state_dict(
    expected: Mapping[str, torch.Tensor],
    tensors: Mapping[str, torch.Tensor],
    description: str,
    optional: Collection[str] = (),
) -> None:
    """Raise `InvalidWeights` naming every tensor that is missing, unexpected or of another shape.

    `description` names the weights in the message; tensors named in `optional` may be missing.
    """
    missing = sorted(expected.keys() - tensors.keys() - set(optional))
    unexpected = sorted(tensors.keys() - expected.keys())
    misshapen = [
        f"{name} is {_shape(tensors[name])} where {_shape(expected[name])} is needed"
        for name in sorted(expected.keys() & tensors.keys())
        if tensors[name].shape != expected[name].shape
    ]
    faults = [
        *([f"missing: {_first_names(missing)}"] if missing else []),
        *([f"unexpected: {_first_names(unexpected)}"] if unexpected else []),
        *([f"of another shape: {_first_names(misshapen)}"] if misshapen else []),
    ]
    if faults:
        raise InvalidWeights(f"{description} does not fit the model; {'; '.join(faults)}.")


def _safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping: it has only keys())
    except (SafetensorError, OSError) as error:
        raise InvalidWeights(f"{path} is not a whole safetensors file ({error}); fetch or copy it again.") from error


def _torch_checkpoint(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's warnings about old pickles; it rejects what it can't read
            return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        if (code := _code_in(error)) is not None:
            raise InvalidWeights(
                f"{path} holds code ({code}), not only tensors; nothing of it was run, and it can't be used: save its "
                "state dict alone, or get it as safetensors."
            ) from error
        raise InvalidWeights(
            f"{path} is no whole torch checkpoint of plain tensors; fetch or copy it again."
        ) from error
    except Exception as error:  # reading a file that isn't what it seems can raise anything
        raise InvalidWeights(
            f"{path} is no whole torch checkpoint ({_first_line(error)}); fetch or copy it again."
        ) from error


def _code_in(error: UnpicklingError) -> str | None:
    """Return the name that a pickle tried to import, from torch's message; None where the file is merely damaged."""
    named = re.search(r"unsupported (?:global|class):? (?:global )?([\w.]+)", str(error), re.IGNORECASE)
    return named.group(1) if named else None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].partition(". ")[0] or type(error).__name__


def _unwrapped(loaded: Any, path: Path) -> dict[str, torch.Tensor]:
    for key in WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not loaded:
        raise InvalidWeights(f"{path} holds {type(loaded).__name__}, not named tensors; save a state dict.")
    others = [str(name) for name, value in loaded.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise InvalidWeights(
            f"{path} holds what is no tensor: {_first_names(sorted(others))}; save the state dict alone."
        )
    return {str(name): tensor for name, tensor in loaded.items()}


def _without_wrapping(name: str) -> str:
    return name.removeprefix("module.").removeprefix("_orig_mod.")


def _shape(tensor: torch.Tensor) -> str:
    return "×".join(str(size) for size in tensor.shape) or "a number"


def _first_names(names: list[str], limit: int = 5) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
