"""The teachers of `andon-tiny` as backbones, read from files of the user: what the student is evaluated against."""

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
from scorer.errors import InvalidWeights, ModelUnavailable
from scorer.imaging.framing import CellBox

SIDE_PX = 256
LAYER2_BLOCKS = 4  # layer1 and layer2 have two blocks each

Layers = Callable[[torch.Tensor], list[torch.Tensor]]
"""Maps images (B, 3, H, W) in [0, 1] to feature maps (B, depth, H / 16, W / 16)."""


class TeacherBackbone:
    """One or both teachers as a `PatchBackbone`: float32, channels last, 256 px, one layer of tokens per feature map.

    Narrower layers are padded with zeros, which do not change a cosine.
    """

    def __init__(self, name: str, layers: Layers, weights_sha256: str, device: torch.device) -> None:
        """Wrap `layers`, whose weights are on `device`."""
        self.name = name
        self.device = device
        self.weights_sha256: str | None = weights_sha256
        self.size = (SIDE_PX, SIDE_PX)
        self.grid = (SIDE_PX // STRIDE, SIDE_PX // STRIDE)
        self.configuration: Mapping[str, float] = {"side_px": SIDE_PX}
        self._layers = layers

    @torch.inference_mode()
    def tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode (B, 3, 256, 256), uint8, RGB, to (layers, B, 256 patches row by row, width)."""
        return self._tokens(pixels, None)

    @torch.inference_mode()
    def tokens_within(self, pixels: torch.Tensor, box: CellBox) -> torch.Tensor:
        """Encode as `CropsPadding` does."""
        return self._tokens(pixels, box)

    def _tokens(self, pixels: torch.Tensor, box: CellBox | None) -> torch.Tensor:
        images = pixels.to(self.device).float().div(255).contiguous(memory_format=torch.channels_last)
        return scatter_to_grid([maps.flatten(2).transpose(1, 2) for maps in self._layers(images)], box, self.grid)


def load_teacher(path: Path, layers: str, device: torch.device) -> TeacherBackbone:
    """Load one teacher from its ``.npz`` file, or both from a folder.

    Args:
        path: The file or the folder.
        layers: Empty for the last layer or, for ResNet-18, ``layer2+layer3``.
        device: Where the network runs.

    Raises:
        ModelUnavailable: The path does not exist.
        InvalidWeights: The file is not a teacher, or lacks these layers.
    """
    if path.is_dir():
        resnet, mobilenet = (load_teacher(path / name, "", device) for name in (RESNET_FILE, MOBILENET_FILE))
        both = sha256(f"{resnet.weights_sha256} {mobilenet.weights_sha256}".encode()).hexdigest()
        return TeacherBackbone(
            "resnet18 + mobilenetv2", lambda x: resnet._layers(x) + mobilenet._layers(x), both, device
        )
    if not path.is_file():
        raise ModelUnavailable(f"The teacher {path} does not exist; name its .npz file, or a folder with both.")
    with np.load(path, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    weights_sha256 = sha256(path.read_bytes()).hexdigest()
    if "conv1.weight" in arrays:
        return _resnet_backbone(ResnetTeacher(arrays), layers, weights_sha256, device)
    if "Conv.w" in arrays and not layers:
        network = _prepare(MobilenetTeacher(arrays), device)
        return TeacherBackbone("mobilenetv2", lambda x: [network(x)], weights_sha256, device)
    raise InvalidWeights(f"{path} is neither ResNet-18 up to layer3 nor MobileNetV2 up to block 12 with {layers!r}.")


def _resnet_backbone(network: ResnetTeacher, layers: str, weights_sha256: str, device: torch.device) -> TeacherBackbone:
    _prepare(network, device)
    if layers in ("", "layer3"):
        return TeacherBackbone("resnet18 layer3", lambda x: [network(x)], weights_sha256, device)
    if layers != "layer2+layer3":
        raise InvalidWeights(f"The ResNet-18 teacher has layer3 or layer2+layer3, not {layers!r}.")

    def layer2_and_layer3(images: torch.Tensor) -> list[torch.Tensor]:
        fine = network.stem(images)
        for block in network.blocks[:LAYER2_BLOCKS]:
            fine = block(fine)
        coarse = fine
        for block in network.blocks[LAYER2_BLOCKS:]:
            coarse = block(coarse)
        return [functional.avg_pool2d(fine, 2), coarse]

    return TeacherBackbone("resnet18 layer2+layer3", layer2_and_layer3, weights_sha256, device)


def _prepare(network: TeacherNetwork, device: torch.device) -> TeacherNetwork:
    prepared: TeacherNetwork = network.eval().to(  # type: ignore[call-overload]
        device=device, memory_format=torch.channels_last
    )
    return prepared
