"""The optional parts of the distribution: which extra installs which library, and the error for one that is missing."""

import importlib.util
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from andon.errors import ExtraMissing

DISTRIBUTION: Final = "andon-inspection"
EXTRA_OF_MODULE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "altair": "dashboard",
        "apprise": "alerts",
        "authlib": "oidc",
        "einops": "scorer",
        "huggingface_hub": "scorer",
        "jinja2": "alerts",
        "onnx": "engines",
        "onnxruntime": "engines",
        "onnxscript": "engines",
        "open_clip": "scorer",
        "openvino": "engines",
        "s3fs": "s3",
        "safetensors": "scorer",
        "scipy": "alerts",
        "skimage": "simulated",
        "streamlit": "dashboard",
        "timm": "scorer",
        "torch": "scorer",
        "tqdm": "scorer",
    }
)
"""Top-level module → the extra that installs it; one that several extras install is named for the smallest."""


def require_extra(command: str, *modules: str) -> None:
    """Check that the libraries of a command are installed, without importing them.

    Args:
        command: The command that needs them, such as ``andon dashboard``, for the message.
        modules: Top-level modules, each a key of `EXTRA_OF_MODULE`.

    Raises:
        ExtraMissing: One of them is not installed.
    """
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise ExtraMissing(_message(command, EXTRA_OF_MODULE[module]))


def extra_missing(command: str, error: ModuleNotFoundError) -> ExtraMissing | None:
    """Return the error for a failed import, or None if no extra installs that module."""
    extra = EXTRA_OF_MODULE.get((error.name or "").partition(".")[0])
    return None if extra is None else ExtraMissing(_message(command, extra))


def _message(command: str, extra: str) -> str:
    return f"{command} needs the {extra} extra: pip install '{DISTRIBUTION}[{extra}]'"
