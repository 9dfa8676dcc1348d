"""A network as an ONNX graph of one picture, which OpenVINO and ONNX Runtime both read.

Of one picture, for on a processor a batch does not make a picture cheaper, and so a batch equals its pictures exactly.
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
"""One picture (1, 3, H, W) to the network's answers of it."""


def unavailable_reason(package: str, device: torch.device) -> str | None:
    """Why an engine of that package can't be used."""
    if device.type != "cpu":
        return f"{package} is for processors, and the model runs on {device.type}."
    absent = [one for one in (package, "onnx", "onnxscript") if find_spec(one) is None]
    return f"{', '.join(absent)} is not installed: {INSTALL_HINT}." if absent else None


def load_or_export(network: nn.Module, example: torch.Tensor, cell_px: int | None, file: Path | None) -> bytes:
    """The graph, weights within, out of `file` where it was kept; exporting takes seconds.

    cell_px: it takes heights and widths that are multiples of this, up to the example's; None for the example's alone.
    """
    if file is None:
        return export_onnx(network, example, cell_px)
    name = "-".join([file.stem, *(["bf16"] if is_bf16(network) else [])])
    file = file.with_stem(f"{name}-{_code_of(network)}")
    if file.exists():
        return file.read_bytes()
    graph = export_onnx(network, example, cell_px)
    try_to_write(file, graph)
    for earlier in set(file.parent.glob(f"{name}-{'?' * CODE_DIGITS}{file.suffix}")) - {file}:
        with contextlib.suppress(OSError):  # of code that is gone; a large network's takes hundreds of megabytes
            earlier.unlink()
    return graph


def _code_of(network: nn.Module) -> str:
    """Tells the code that the network is made of, ours and others', so that a graph of earlier code isn't taken."""
    ours = b"".join(Path(one).read_bytes() for one in (inspect.getfile(type(network)), __file__))
    others = [f"{package} {version(package)}" for package in ("torch", "open_clip_torch", "timm")]
    return sha256(ours + " ".join(others).encode()).hexdigest()[:CODE_DIGITS]


def is_bf16(network: nn.Module) -> bool:
    """Whether its weights are."""
    return any(one.dtype == torch.bfloat16 for one in network.parameters())


class InFloat32(nn.Module):
    """A network whose answers are float32, whatever it computes in: numpy has no bf16."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(one.float() for one in self.network(pictures))


def export_onnx(network: nn.Module, example: torch.Tensor, cell_px: int | None) -> bytes:
    """The graph, weights within; what the exporter has to say of itself is not for an operator."""
    shapes = None if cell_px is None else {"pictures": _sizes(example, cell_px)}
    for talkative in NOISY_LOGGERS:
        logging.getLogger(talkative).setLevel(logging.WARNING)
    with warnings.catch_warnings(), torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            InFloat32(network).eval(), (example,), dynamo=True, verbose=False, dynamic_shapes=shapes
        )
    assert program is not None
    graph: bytes = program.model_proto.SerializeToString()
    return graph


def _sizes(example: torch.Tensor, cell_px: int) -> Mapping[int, Any]:
    """Height and width as torch's exporter is told of them."""
    sides = {2: "rows", 3: "columns"}
    return {side: cell_px * Dim(name, max=example.shape[side] // cell_px) for side, name in sides.items()}


def one_by_one(run: RunOne, pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The answers for (B, 3, H, W), put together again."""
    answers = [run(picture) for picture in np.split(np.ascontiguousarray(pictures.numpy()), len(pictures))]
    return tuple(torch.from_numpy(np.concatenate(layer)) for layer in zip(*answers, strict=True))
