"""A network as an ONNX graph for one image, which OpenVINO and ONNX Runtime both read.

It takes one image because a batch does not make an image cheaper on a processor, and so the outputs of a batch equal
those of its images exactly.
"""

import contextlib
import inspect
import io
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.export import Dim

from scorer.engines.measurements import try_to_write

INSTALL_HINT = "pip install 'andon-inspection[engines]'"
CODE_DIGITS = 8
NOISY_LOGGERS = ("onnx_ir", "onnxscript")

RunOne = Callable[[npt.NDArray[np.float32]], Sequence[npt.NDArray[np.float32]]]
"""From one image (1, 3, H, W) to the network's outputs."""


def unavailable_reason(package: str, device: torch.device) -> str | None:
    """Return a sentence why an engine of that package cannot be used; None where it can."""
    if device.type != "cpu":
        return f"{package} is for processors, and the model runs on {device.type}."
    absent = [name for name in (package, "onnx", "onnxscript") if find_spec(name) is None]
    return f"{', '.join(absent)} is not installed: {INSTALL_HINT}." if absent else None


def load_or_export(network: nn.Module, example: torch.Tensor, cell_px: int | None, file: Path | None) -> bytes:
    """Return the graph with its weights, read from `file` where it is stored; exporting takes seconds.

    Args:
        network: The network to export.
        example: Images (1, 3, H, W) float32.
        cell_px: The graph takes heights and widths that are multiples of this, up to the example's; None for the
            example's alone.
        file: Where the graph is stored, its name extended by a hash of the code; None to store nothing.
    """
    if file is None:
        return export_onnx(network, example, cell_px)
    name = "-".join([file.stem, *(["bf16"] if is_bf16(network) else [])])
    file = file.with_stem(f"{name}-{_code_hash(network)}")
    if file.exists():
        return file.read_bytes()
    graph = export_onnx(network, example, cell_px)
    try_to_write(file, graph)
    for earlier in set(file.parent.glob(f"{name}-{'?' * CODE_DIGITS}{file.suffix}")) - {file}:
        with contextlib.suppress(OSError):  # of earlier code; a large network's takes hundreds of megabytes
            earlier.unlink()
    return graph


def _code_hash(network: nn.Module) -> str:
    """Return a hash of the code that the network consists of, so that a graph of earlier code is not used."""
    sources = b"".join(Path(path).read_bytes() for path in (inspect.getfile(type(network)), __file__))
    packages = [f"{package} {version(package)}" for package in ("torch", "open_clip_torch", "timm")]
    return sha256(sources + " ".join(packages).encode()).hexdigest()[:CODE_DIGITS]


def is_bf16(network: nn.Module) -> bool:
    """Return whether the network has weights in bf16."""
    return any(weights.dtype == torch.bfloat16 for weights in network.parameters())


class InFloat32(nn.Module):
    """A network whose outputs are float32, whatever it computes in: numpy has no bf16."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the network's outputs for (B, 3, H, W), float32."""
        return tuple(output.float() for output in self.network(images))


def export_onnx(network: nn.Module, example: torch.Tensor, cell_px: int | None) -> bytes:
    """Export the graph with its weights; the exporter's own messages, which do not concern an operator, are dropped."""
    shapes = None if cell_px is None else {"images": _sizes(example, cell_px)}
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings(), torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            InFloat32(network).eval(), (example,), dynamo=True, verbose=False, dynamic_shapes=shapes
        )
    assert program is not None
    graph: bytes = program.model_proto.SerializeToString()
    return graph


def _sizes(example: torch.Tensor, cell_px: int) -> Mapping[int, Any]:
    """Return height and width as torch's exporter takes them."""
    sides = {2: "rows", 3: "columns"}
    return {side: cell_px * Dim(name, max=example.shape[side] // cell_px) for side, name in sides.items()}


def run_one_by_one(run: RunOne, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return the outputs for (B, 3, H, W), image by image."""
    outputs = [run(image) for image in np.split(np.ascontiguousarray(images.numpy()), len(images))]
    return tuple(torch.from_numpy(np.concatenate(layer)) for layer in zip(*outputs, strict=True))
