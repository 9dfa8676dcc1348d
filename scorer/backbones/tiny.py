"""`andon-tiny`: the backbone that ships in this package, distilled by this project from two teachers (docs/adr/0008).

One trunk has two outputs at stride 16: one learned from ResNet-18's layer3, one from MobileNetV2's block 12.
"""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from scorer.backbones.protocol import scatter_to_grid
from scorer.backbones.weights import checkpoints
from scorer.engines.devices import to_device
from scorer.engines.measurements import EngineConfig
from scorer.engines.precision import rounding
from scorer.engines.protocol import SINGLE_CALL, EngineOptions
from scorer.engines.registry import compile_network
from scorer.engines.selection import TORCH_FP32, engine_options, select_engine
from scorer.imaging.framing import CellBox
from scorer.settings import ScorerSettings

NAME = "andon-tiny"
WEIGHTS = Path(__file__).with_name("andon_tiny.safetensors")
SHA256 = "7b71375003e9ff87cc3b6612effef006f8a08da125e3ece80651938c6db240ef"
IMAGE_SIDE_PX = 256
STRIDE_PX = 16

_FINE_BLOCKS = 4

_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class TinyConfig:
    """Channels of the network: of stem, stages, each block's middle, branch and both outputs."""

    stem: int = 32
    stages: tuple[int, int, int] = (32, 128, 256)
    middles: tuple[int, ...] = (32, 32, 64, 64, 128, 128)
    branch: int = 128
    outputs: tuple[int, int] = (256, 96)


class Block(nn.Module):
    """Two 3 × 3 convolutions with a shortcut, the first to a narrow middle."""

    def __init__(self, width: int, middle: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, middle, 3, stride, 1)
        self.conv2 = nn.Conv2d(middle, out, 3, 1, 1)
        self.shortcut = nn.Conv2d(width, out, 1, stride) if stride > 1 or width != out else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute (B, out, H / stride, W / stride) of (B, width, H, W)."""
        short = x if self.shortcut is None else self.shortcut(x)
        return functional.relu(self.conv2(functional.relu(self.conv1(x))) + short)


class Branch(nn.Module):
    """The second output: it reads the trunk at strides 8 and 16, one cell down and right as its teacher does."""

    def __init__(self, fine: int, coarse: int, width: int, out: int) -> None:
        super().__init__()
        self.fine = nn.Conv2d(fine, width, 3, 2)
        self.coarse = nn.Conv2d(coarse, width, 3, 1, 1)
        self.block = Block(width, width, width, 1)
        self.last = nn.Conv2d(width, out, 1)

    def forward(self, fine: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
        """Compute (B, out, h, w) of the trunk at stride 8, (B, fine, 2 h, 2 w), and at stride 16, (B, coarse, h, w)."""
        # An even side padded below and to the right is where TensorFlow puts the cells of a strided convolution.
        joined = functional.relu(self.fine(functional.pad(fine, (0, 1, 0, 1))) + self.coarse(coarse))
        output: torch.Tensor = self.last(self.block(joined))
        return output


class TinyNetwork(nn.Module):
    """From images (B, 3, H, W) in [0, 1], H and W multiples of 16, to two maps (B, 256, h, w) and (B, 96, h, w)."""

    def __init__(self, shape: TinyConfig | None = None) -> None:
        super().__init__()
        self.shape = shape or TinyConfig()
        self.conv1 = nn.Conv2d(3, self.shape.stem, 7, 2, 3)
        blocks, width = [], self.shape.stem
        for number, middle in enumerate(self.shape.middles):
            stage, first = number // 2, number % 2 == 0
            blocks.append(Block(width, middle, self.shape.stages[stage], 2 if first and stage else 1))
            width = self.shape.stages[stage]
        self.blocks = nn.ModuleList(blocks)
        self.branch = Branch(self.shape.stages[1], width, self.shape.branch, self.shape.outputs[1])

    def stem(self, images: torch.Tensor) -> torch.Tensor:
        """Return the input of the first block: (B, stem, H / 4, W / 4)."""
        mean, deviation = (torch.tensor(one, device=images.device).view(3, 1, 1) for one in (_MEAN, _DEVIATION))
        normalised = ((images - mean) / deviation).to(self.conv1.weight.dtype)
        return functional.max_pool2d(functional.relu(self.conv1(normalised)), 3, 2, 1)

    def trunk(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the branch's input: maps at stride 8 and at stride 16; the latter is the first output."""
        x = self.stem(images)
        for block in self.blocks[:_FINE_BLOCKS]:
            x = block(x)
        fine = x
        for block in self.blocks[_FINE_BLOCKS:]:
            x = block(x)
        return fine, x

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute both maps of images (B, 3, H, W)."""
        fine, coarse = self.trunk(images)
        return coarse, self.branch(fine, coarse)


class TokenOutputs(nn.Module):
    """Both maps of a network as patches row by row, (B, P, 256) and (B, P, 96); channels are last in memory anyway."""

    def __init__(self, network: TinyNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute both layers of tokens of images (B, 3, H, W)."""
        first, second = (one.flatten(2).transpose(1, 2) for one in self.network(images))
        return first, second


class TinyBackbone:
    """Encodes framed images to two layers of patch tokens, float32; a `PatchBackbone` that crops padding."""

    name = NAME

    def __init__(
        self,
        network: TinyNetwork,
        weights_sha256: str,
        device: torch.device,
        config: EngineConfig = TORCH_FP32,
        calls: EngineOptions = SINGLE_CALL,
    ) -> None:
        dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
        self.network = network.eval().requires_grad_(False).to(device, dtype)
        self.network = self.network.to(memory_format=torch.channels_last)
        self.device = device
        self.weights_sha256: str | None = weights_sha256
        self.size = (IMAGE_SIDE_PX, IMAGE_SIDE_PX)
        self.grid = (IMAGE_SIDE_PX // STRIDE_PX, IMAGE_SIDE_PX // STRIDE_PX)
        example = torch.zeros(1, 3, *self.size, device=device)
        self._encode = compile_network(
            config.engine, TokenOutputs(self.network).eval(), example, calls, cell_px=STRIDE_PX
        )
        self._rounding = rounding(dtype, config.engine)

    @property
    def configuration(self) -> dict[str, float]:
        """Everything besides the weights that its values depend on."""
        return {"side_px": IMAGE_SIDE_PX, "stride_px": STRIDE_PX, **self._rounding}

    @torch.inference_mode()
    def tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode images (B, 3, H, W), uint8 RGB of `size`: (2 outputs, B, P, 256), patches row by row.

        The second output has 96 values and then zeros.
        """
        return self._tokens(pixels, None)

    @torch.inference_mode()
    def tokens_within(self, pixels: torch.Tensor, box: CellBox) -> torch.Tensor:
        """Encode images of the cells in a box, see `CropsPadding`."""
        return self._tokens(pixels, box)

    def _tokens(self, pixels: torch.Tensor, box: CellBox | None) -> torch.Tensor:
        images = to_device(pixels, self.device).contiguous().float().div_(255)  # channels first while uint8
        return scatter_to_grid(self._encode(images), box, self.grid)


def load_tiny(device: torch.device | str = "cpu", path: Path = WEIGHTS, expected: str | None = SHA256) -> TinyBackbone:
    """Load the backbone with the weights that ship in this package, on torch in fp32; `expected` None takes any sha256.

    Raises `InvalidWeights` for a file that is missing, cut short, changed or of another network.
    """
    network, found = read_tiny(path, expected)
    return TinyBackbone(network, found, torch.device(device))


def load_tiny_on_engine(settings: ScorerSettings, device: torch.device) -> TinyBackbone:
    """Load the backbone that ships, on the engine and in the precision that the settings or a measurement choose."""
    network, found = read_tiny()
    options = engine_options(settings, NAME, found)

    def build(config: EngineConfig) -> TinyBackbone:
        return TinyBackbone(deepcopy(network), found, device, config, options)

    chosen = select_engine(
        settings, device, NAME, found, (IMAGE_SIDE_PX, IMAGE_SIDE_PX), lambda config: build(config).tokens
    )
    return build(chosen)


def read_tiny(path: Path = WEIGHTS, expected: str | None = SHA256) -> tuple[TinyNetwork, str]:
    """Return the network and its file's sha256; see `load_tiny`."""
    network = TinyNetwork()
    found = checkpoints.load_packaged(network, path, expected, NAME)
    return network, found
