"""A network as an ONNX graph of one picture, which OpenVINO and ONNX Runtime both read.

Of one picture, for on a processor a batch does not make a picture cheaper, and so a batch equals its pictures exactly.
"""

import contextlib
import io
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from scorer.engines.measured import put

WAY_OUT = "pip install 'andon[engines]'"

RunOne = Callable[[npt.NDArray[np.float32]], Sequence[npt.NDArray[np.float32]]]
"""One picture (1, 3, H, W) to the network's answers of it."""


def missing(package: str, device: torch.device) -> str | None:
    """Why an engine of that package can't be used."""
    if device.type != "cpu":
        return f"{package} is for processors, and the model runs on {device.type}."
    absent = [one for one in (package, "onnx", "onnxscript") if find_spec(one) is None]
    return f"{', '.join(absent)} is not installed: {WAY_OUT}." if absent else None


def graph_of(network: nn.Module, example: torch.Tensor, file: Path | None) -> bytes:
    """The graph, weights within, out of `file` where it was kept; exporting takes seconds."""
    if file is None:
        return exported(network, example)
    if file.exists():
        return file.read_bytes()
    graph = exported(network, example)
    put(file, graph)
    return graph


def exported(network: nn.Module, example: torch.Tensor) -> bytes:
    """The graph, weights within; what the exporter has to say of itself is not for an operator."""
    with warnings.catch_warnings(), torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(network, (example,), dynamo=True, verbose=False)
    assert program is not None
    graph: bytes = program.model_proto.SerializeToString()
    return graph


def one_by_one(run: RunOne, pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The answers for (B, 3, H, W), put together again."""
    answers = [run(picture) for picture in np.split(np.ascontiguousarray(pictures.numpy()), len(pictures))]
    return tuple(torch.from_numpy(np.concatenate(layer)) for layer in zip(*answers, strict=True))
