"""The two teacher networks of `andon-tiny`, implemented here so that no other package is needed.

Both are loaded from `.npz` files with batch norm folded into the biases, take RGB in [0, 1], and are never trained.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

RESNET_FILE = "resnet18_imagenet_conv1_to_layer3.npz"
MOBILENET_FILE = "mobilenet_v2_imagenet_to_block12.npz"
RESNET_DEPTH = 256
MOBILENET_DEPTH = 96
STRIDE = 16

_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)
_MOBILENET_STRIDES = {1: 2, 3: 2, 6: 2}
_MOBILENET_BLOCKS = 12

WeightArrays = Mapping[str, np.ndarray]


class TeacherNetwork(nn.Module):
    """A frozen network from images (B, 3, H, W) in [0, 1] to one feature map (B, depth, H / 16, W / 16)."""

    depth: int

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the feature map."""
        raise NotImplementedError


def _convolution(weight: np.ndarray, bias: np.ndarray, stride: int = 1, padding: int = 0, groups: int = 1) -> nn.Conv2d:
    out, per_group, rows, columns = weight.shape
    layer = nn.Conv2d(per_group * groups, out, (rows, columns), stride, padding, groups=groups)
    layer.weight = nn.Parameter(torch.from_numpy(np.array(weight, np.float32)), requires_grad=False)
    layer.bias = nn.Parameter(torch.from_numpy(np.array(bias, np.float32)), requires_grad=False)
    return layer


class ResidualBlock(nn.Module):
    """ResNet's basic block with batch norm folded: two 3 × 3 convolutions and a shortcut."""

    def __init__(self, arrays: WeightArrays, name: str, stride: int) -> None:
        super().__init__()
        self.conv1 = _convolution(arrays[f"{name}.conv1.weight"], arrays[f"{name}.conv1.bias"], stride, 1)
        self.conv2 = _convolution(arrays[f"{name}.conv2.weight"], arrays[f"{name}.conv2.bias"], 1, 1)
        shortcut = f"{name}.downsample.0"
        self.shortcut = (
            _convolution(arrays[f"{shortcut}.weight"], arrays[f"{shortcut}.bias"], stride)
            if f"{shortcut}.weight" in arrays
            else None
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output, after the ReLU."""
        short = x if self.shortcut is None else self.shortcut(x)
        return functional.relu(self.conv2(functional.relu(self.conv1(x))) + short)


class ResnetTeacher(TeacherNetwork):
    """ResNet-18 up to layer3 (He et al., arXiv 1512.03385): 256 channels at stride 16, after the ReLU."""

    depth = RESNET_DEPTH
    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, arrays: WeightArrays) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(_DEVIATION).view(1, 3, 1, 1))
        self.conv1 = _convolution(arrays["conv1.weight"], arrays["conv1.bias"], 2, 3)
        self.blocks = nn.ModuleList(
            ResidualBlock(arrays, f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1)
            for layer in (1, 2, 3)
            for block in (0, 1)
        )

    def stem(self, images: torch.Tensor) -> torch.Tensor:
        """Return the input of layer1, (B, 64, H / 4, W / 4)."""
        normalised = (images - self.mean) / self.deviation
        return functional.max_pool2d(functional.relu(self.conv1(normalised)), 3, 2, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return layer3, (B, 256, H / 16, W / 16)."""
        x = self.stem(images)
        for block in self.blocks:
            x = block(x)
        return x


def pad_same(x: torch.Tensor, stride: int) -> torch.Tensor:
    """Pad for a 3 × 3 window as TensorFlow's SAME does: the surplus row and column go below and to the right."""
    pads = []
    for size in (x.shape[-1], x.shape[-2]):
        total = max((-(-size // stride) - 1) * stride + 3 - size, 0)
        pads += [total // 2, total - total // 2]
    return functional.pad(x, pads)


class InvertedBlock(nn.Module):
    """MobileNetV2's block with batch norm folded: expand, depthwise, project; ReLU6 after the first two."""

    def __init__(self, arrays: WeightArrays, name: str, stride: int) -> None:
        super().__init__()
        self.expand = (
            _convolution(arrays[f"{name}/expand.w"], arrays[f"{name}/expand.b"])
            if f"{name}/expand.w" in arrays
            else None
        )
        depthwise = arrays[f"{name}/depthwise.w"]
        self.depthwise = _convolution(depthwise, arrays[f"{name}/depthwise.b"], stride, groups=len(depthwise))
        self.project = _convolution(arrays[f"{name}/project.w"], arrays[f"{name}/project.b"])
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output."""
        wide = x if self.expand is None else functional.relu6(self.expand(x))
        narrow: torch.Tensor = self.project(functional.relu6(self.depthwise(pad_same(wide, self.stride))))
        return x + narrow if self.stride == 1 and x.shape[1] == narrow.shape[1] else narrow


class MobilenetTeacher(TeacherNetwork):
    """MobileNetV2 up to block 12 (Sandler et al., arXiv 1801.04381): 96 channels at stride 16, without a ReLU."""

    depth = MOBILENET_DEPTH

    def __init__(self, arrays: WeightArrays) -> None:
        super().__init__()
        self.conv = _convolution(arrays["Conv.w"], arrays["Conv.b"], 2)
        names = ["expanded_conv", *(f"expanded_conv_{n}" for n in range(1, _MOBILENET_BLOCKS + 1))]
        self.blocks = nn.ModuleList(
            InvertedBlock(arrays, name, _MOBILENET_STRIDES.get(n, 1)) for n, name in enumerate(names)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return block 12, (B, 96, H / 16, W / 16)."""
        x = functional.relu6(self.conv(pad_same((255.0 * images - 128.0) / 128.0, 2)))
        for block in self.blocks:
            x = block(x)
        return x


def load_teachers(folder: Path) -> tuple[ResnetTeacher, MobilenetTeacher]:
    """Load both teachers from a folder with the two `.npz` files, channels-last, on the CPU.

    Raises:
        FileNotFoundError: A file is missing; the message names it.
    """
    arrays = []
    for name in (RESNET_FILE, MOBILENET_FILE):
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(
                f"The teacher {path} does not exist; put {name} there, or name its folder with --teachers."
            )
        with np.load(path, allow_pickle=False) as file:
            arrays.append({key: file[key] for key in file.files})
    resnet, mobilenet = ResnetTeacher(arrays[0]), MobilenetTeacher(arrays[1])
    for teacher in (resnet, mobilenet):
        teacher.eval().to(memory_format=torch.channels_last)
    return resnet, mobilenet
