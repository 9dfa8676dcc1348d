"""ResNet-18's layers as a backbone, with given or random weights: the features on which peers are compared."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from scorer.backbones.teacher_networks import ResnetTeacher, WeightArrays
from scorer.engines.measurements import EngineConfig
from scorer.engines.protocol import SINGLE_CALL, EngineOptions
from scorer.engines.registry import compile_network
from scorer.engines.selection import TORCH_FP32

SIDE_PX = 256
DEPTHS = {1: 64, 2: 128, 3: 256}
STRIDES = {1: 4, 2: 8, 3: 16}

BATCH_NORM_EPSILON = 1e-5


class ResnetLayerOutputs(nn.Module):
    """Maps images (B, 3, H, W) in [0, 1] to layers of ResNet-18, (B, rows, columns, depth)."""

    def __init__(self, network: ResnetTeacher, layers: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.layers = tuple(layers)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the maps of the layers."""
        x, found = self.network.stem(images.to(self.network.conv1.weight.dtype)), []
        for number, block in enumerate(self.network.blocks):
            x = block(x)
            if number % 2 and number // 2 + 1 in self.layers:
                found.append(x.permute(0, 2, 3, 1))
        return tuple(found)


class ResnetBackbone:
    """Layers of ResNet-18 as a `PatchBackbone`, in the grid of the first one.

    Each layer is first averaged over `neighbourhood` × `neighbourhood` cells, as in PatchCore's paper. Coarser layers
    are brought to the grid by `mode`, "bilinear" or "nearest"; narrower ones are padded with zeros.
    """

    def __init__(
        self,
        arrays: WeightArrays,
        layers: Sequence[int],
        mode: str,
        neighbourhood: int = 1,
        running: EngineConfig = TORCH_FP32,
        calls: EngineOptions = SINGLE_CALL,
    ) -> None:
        self.name = f"resnet18 layers {', '.join(map(str, layers))}"
        self.weights_sha256: str | None = sha256(b"".join(arrays[key].tobytes() for key in sorted(arrays))).hexdigest()
        self.device = torch.device("cpu")
        self.size = (SIDE_PX, SIDE_PX)
        self.grid = (SIDE_PX // STRIDES[layers[0]],) * 2
        self.configuration: Mapping[str, float] = {f"layer {layer}": 1.0 for layer in layers}
        self._layers = tuple(layers)
        self._mode = mode
        self._neighbourhood = neighbourhood
        network = ResnetTeacher(arrays).eval().requires_grad_(False)
        network.to(dtype=torch.bfloat16 if running.precision == "bf16" else torch.float32)
        network.to(memory_format=torch.channels_last)
        example = torch.zeros(1, 3, *self.size)
        self._encode = compile_network(running.engine, ResnetLayerOutputs(network, layers).eval(), example, calls)

    @torch.inference_mode()
    def maps(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Encode (B, 3, 256, 256), uint8, RGB, to a map of each layer, (B, depth, side, side), float32."""
        images = pixels.contiguous().float().div_(255)
        return [maps.permute(0, 3, 1, 2) for maps in self._encode(images)]

    @torch.inference_mode()
    def tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode (B, 3, 256, 256), uint8, RGB, to (layers, B, patches row by row, width)."""
        width = DEPTHS[self._layers[-1]]
        return torch.stack([_to_tokens(self._on_grid(maps), width) for maps in self.maps(pixels)])

    def _on_grid(self, maps: torch.Tensor) -> torch.Tensor:
        if self._neighbourhood > 1:
            maps = functional.avg_pool2d(maps, self._neighbourhood, stride=1, padding=self._neighbourhood // 2)
        if maps.shape[2] == self.grid[0]:
            return maps
        return functional.interpolate(maps, self.grid, mode=self._mode)


def _to_tokens(maps: torch.Tensor, width: int) -> torch.Tensor:
    """Reshape (B, depth, rows, columns) to (B, patches, width); maps are channels-last in memory."""
    return functional.pad(maps.permute(0, 2, 3, 1).flatten(1, 2), (0, width - maps.shape[1]))


def load_weight_arrays(teacher: Path | None, seed: int = 0) -> dict[str, npt.NDArray[np.float32]]:
    """Return ResNet-18 up to layer3 with batch norm folded, from a teacher's `.npz` file or with random weights."""
    if teacher is not None:
        with np.load(teacher, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    generator = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {"conv1": (64, 3, 7, 7)}
    width = 64
    for layer, depth in DEPTHS.items():
        for block in (0, 1):
            shapes[f"layer{layer}.{block}.conv1"] = (depth, width, 3, 3)
            shapes[f"layer{layer}.{block}.conv2"] = (depth, depth, 3, 3)
            if width != depth:
                shapes[f"layer{layer}.{block}.downsample.0"] = (depth, width, 1, 1)
            width = depth
    found = {}
    for name, shape in shapes.items():
        found[f"{name}.weight"] = generator.normal(0, np.sqrt(1 / np.prod(shape[1:])), shape).astype(np.float32)
        found[f"{name}.bias"] = generator.normal(0, 0.1, shape[0]).astype(np.float32)
    return found


def to_timm_state_dict(arrays: WeightArrays) -> dict[str, torch.Tensor]:
    """Return the same weights under timm's names; each folded bias becomes a batch norm that only adds it."""
    found = {}
    for name in sorted({key.rpartition(".")[0] for key in arrays}):
        norm = f"{name[:-1]}1" if name.endswith("downsample.0") else name.replace("conv", "bn")
        bias = torch.from_numpy(np.array(arrays[f"{name}.bias"], np.float32))
        found[f"{name}.weight"] = torch.from_numpy(np.array(arrays[f"{name}.weight"], np.float32))
        found[f"{norm}.weight"] = torch.ones_like(bias)
        found[f"{norm}.bias"] = bias
        found[f"{norm}.running_mean"] = torch.zeros_like(bias)
        found[f"{norm}.running_var"] = torch.full_like(bias, 1 - BATCH_NORM_EPSILON)
    return found
