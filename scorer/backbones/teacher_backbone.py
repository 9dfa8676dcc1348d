"""The teachers of `andon-tiny` as backbones, from files that somebody has: what the student is measured against."""

from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from scorer.backbones.protocol import scatter_to_grid
from scorer.backbones.teacher_networks import (
    MOBILENET_FILE,
    RESNET_FILE,
    STRIDE,
    MobilenetTeacher,
    ResnetTeacher,
    TeacherNetwork,
)
from scorer.evaluation.errors import EvaluationError
from scorer.imaging.framing import CellBox

SIDE_PX = 256
LAYER2_BLOCKS = 4  # layer1 and layer2 have two blocks each

Layers = Callable[[torch.Tensor], list[torch.Tensor]]
"""Pictures (B, 3, H, W) in [0, 1] to maps (B, depth, H / 16, W / 16)."""


class TeacherBackbone:
    """One or both teachers behind the backbone seam: float32, channels last, 256 px, one layer of tokens for each map.

    Narrower layers are filled up with zeros, which change no cosine.
    """

    def __init__(self, name: str, layers: Layers, weights_sha256: str, device: torch.device) -> None:
        self.name = name
        self.device = device
        self.weights_sha256: str | None = weights_sha256
        self.size = (SIDE_PX, SIDE_PX)
        self.grid = (SIDE_PX // STRIDE, SIDE_PX // STRIDE)
        self.configuration: Mapping[str, float] = {"side_px": SIDE_PX}
        self._layers = layers

    @torch.inference_mode()
    def tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, 256, 256), uint8 RGB, to (layers, B, 256 patches row by row, width)."""
        return self._tokens(pixels, None)

    @torch.inference_mode()
    def tokens_within(self, pixels: torch.Tensor, box: CellBox) -> torch.Tensor:
        """As `CropsPadding`."""
        return self._tokens(pixels, box)

    def _tokens(self, pixels: torch.Tensor, box: CellBox | None) -> torch.Tensor:
        pictures = pixels.to(self.device).float().div(255).contiguous(memory_format=torch.channels_last)
        return scatter_to_grid([found.flatten(2).transpose(1, 2) for found in self._layers(pictures)], box, self.grid)


def load_teacher(path: Path, layers: str, device: torch.device) -> TeacherBackbone:
    """One teacher's `.npz` file, or a folder with both; `layers` is "" or, for ResNet-18, "layer2+layer3".

    Raises `EvaluationError` for a path that is no teacher.
    """
    if path.is_dir():
        resnet, mobilenet = (load_teacher(path / name, "", device) for name in (RESNET_FILE, MOBILENET_FILE))
        both = sha256(f"{resnet.weights_sha256} {mobilenet.weights_sha256}".encode()).hexdigest()
        return TeacherBackbone(
            "resnet18 + mobilenetv2", lambda x: resnet._layers(x) + mobilenet._layers(x), both, device
        )
    if not path.is_file():
        raise EvaluationError(f"There is no teacher {path}; name its .npz file, or a folder with both.")
    with np.load(path, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    found_sha256 = sha256(path.read_bytes()).hexdigest()
    if "conv1.weight" in arrays:
        return _resnet(ResnetTeacher(arrays), layers, found_sha256, device)
    if "Conv.w" in arrays and not layers:
        network = _ready(MobilenetTeacher(arrays), device)
        return TeacherBackbone("mobilenetv2", lambda x: [network(x)], found_sha256, device)
    raise EvaluationError(f"{path} is neither ResNet-18 up to layer3 nor MobileNetV2 up to block 12 with {layers!r}.")


def _resnet(network: ResnetTeacher, layers: str, found_sha256: str, device: torch.device) -> TeacherBackbone:
    _ready(network, device)
    if layers in ("", "layer3"):
        return TeacherBackbone("resnet18 layer3", lambda x: [network(x)], found_sha256, device)
    if layers != "layer2+layer3":
        raise EvaluationError(f"The ResNet-18 teacher has layer3 or layer2+layer3, not {layers!r}.")

    def two(pictures: torch.Tensor) -> list[torch.Tensor]:
        fine = network.stem(pictures)
        for block in network.blocks[:LAYER2_BLOCKS]:
            fine = block(fine)
        coarse = fine
        for block in network.blocks[LAYER2_BLOCKS:]:
            coarse = block(coarse)
        return [functional.avg_pool2d(fine, 2), coarse]

    return TeacherBackbone("resnet18 layer2+layer3", two, found_sha256, device)


def _ready(network: TeacherNetwork, device: torch.device) -> TeacherNetwork:
    ready: TeacherNetwork = network.eval().to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return ready
