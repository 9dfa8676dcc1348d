"""Any timm vision transformer by name as a backbone of patch tokens: DINOv2, DINOv3, Perception Encoder, plain ViTs.

Grid, depth, width, class and register tokens, image size and normalisation are timm's for the model. Tokens are
a block's output after the model's last norm, as DINOv2's own `get_intermediate_layers` gives them (docs/adr/0023).
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import timm
import torch
from torch import nn

from scorer.backbones.block_selection import select_blocks
from scorer.backbones.weights import checkpoints
from scorer.backbones.weights.store import WeightsStore
from scorer.engines.devices import to_device
from scorer.engines.measurements import EngineConfig, EngineName
from scorer.engines.precision import Precision, dtype_for, rounding
from scorer.engines.protocol import SINGLE_CALL, EngineOptions
from scorer.engines.registry import compile_network
from scorer.engines.selection import engine_options, select_engine
from scorer.errors import ModelUnavailable, UnknownBackbone, UnsupportedBackbone
from scorer.settings import ScorerSettings

FAMILY = "timm/"
"""The prefix of a backbone's name, as in ``timm/vit_small_patch14_dinov2.lvd142m``."""


class BlockTokens(nn.Module):
    """A transformer as one function: normalised images to the tokens of each chosen block, after the last norm."""

    def __init__(self, network: Any, blocks: Sequence[int], dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network
        self.indices = [block - 1 for block in blocks]
        self.dtype = dtype

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Encode images (B, 3, H, W): the tokens of each block, (B, P, D)."""
        return tuple(
            self.network.forward_intermediates(
                images.to(self.dtype),
                indices=self.indices,
                norm=True,
                stop_early=True,
                output_fmt="NLC",
                intermediates_only=True,
            )
        )


class TimmVit:
    """Encodes framed images to the patch tokens of chosen blocks; `blocks` count from 1 and rise."""

    def __init__(
        self,
        network: nn.Module,
        name: str,
        blocks: Sequence[int],
        device: torch.device,
        precision: Precision = "auto",
        weights_sha256: str | None = None,
        engine: EngineName = "torch",
        calls: EngineOptions = SINGLE_CALL,
    ) -> None:
        require_patches(network, name)
        self.name = name
        self.device = device
        self.dtype = dtype_for(precision, device)
        self._rounding = rounding(self.dtype, engine)
        self.blocks = tuple(blocks)
        self.weights_sha256 = weights_sha256
        vit: Any = network.eval().requires_grad_(False).to(device=device, dtype=self.dtype)
        self._network = vit
        mean, std = vit.pretrained_cfg["mean"], vit.pretrained_cfg["std"]
        self._mean, self._std = (torch.tensor(values, device=device).view(3, 1, 1) for values in (mean, std))
        height, width = vit.patch_embed.img_size
        rows, columns = vit.patch_embed.grid_size
        self.size, self.grid = (int(height), int(width)), (int(rows), int(columns))
        example = torch.zeros(1, 3, *self.size, device=device)
        self._encode = compile_network(engine, BlockTokens(vit, self.blocks, self.dtype).eval(), example, calls)

    @property
    def depth(self) -> int:
        """The number of blocks."""
        return depth_of(self._network)

    @property
    def width(self) -> int:
        """The width of a token."""
        return int(self._network.embed_dim)

    @property
    def prefix_tokens(self) -> int:
        """The number of class and register tokens before the patches."""
        return int(self._network.num_prefix_tokens)

    @property
    def configuration(self) -> Mapping[str, float]:
        """Everything besides the weights that its values depend on."""
        layers = {f"layer {index}": float(block) for index, block in enumerate(self.blocks)}
        return {**self._rounding, "normed": 1.0, **layers}

    @torch.inference_mode()
    def tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode images (B, 3, H, W), uint8 RGB of `size`: (blocks, B, P, D) float32, patches row by row."""
        return torch.stack(self._encode((to_device(pixels, self.device).float() / 255 - self._mean) / self._std))


def load_timm(settings: ScorerSettings, device: torch.device) -> TimmVit:
    """Load the transformer that the settings name from the weights folder.

    Raises `ModelUnavailable`, saying how to get it, where it is not stored.
    """
    folder = WeightsStore(settings.weights_path)
    try:
        stored = folder.transformer(settings.backbone)
    except ModelUnavailable:
        build_timm(
            settings.backbone.removeprefix(FAMILY), on_no_device=True
        )  # no weights help a name timm doesn't know
        raise
    network: Any = build_timm(stored.card.config["timm"])
    checkpoints.load_into(network, folder.tensors(stored), str(stored.path))
    blocks = select_blocks(settings.backbone_blocks, depth_of(network), settings.backbone)
    contents = f"{stored.sha256} {blocks}"
    options = engine_options(settings, stored.card.name, contents)

    def build(config: EngineConfig) -> TimmVit:
        copied = deepcopy(network) if config.precision == "bf16" else network  # it is converted in place
        return TimmVit(
            copied, stored.card.name, blocks, device, config.precision, stored.sha256, config.engine, options
        )

    size = int(network.patch_embed.img_size[0]), int(network.patch_embed.img_size[1])
    return build(select_engine(settings, device, stored.card.name, contents, size, lambda config: build(config).tokens))


def build_timm(name: str, on_no_device: bool = False) -> nn.Module:
    """Build a timm transformer by ``MODEL`` or ``MODEL.TAG``, with random weights, or without any `on_no_device`.

    Raises `UnknownBackbone` for a name that timm doesn't know, `UnsupportedBackbone` where it is no vision transformer.
    """
    if not timm.is_model(name) or ("." in name and name not in _tagged(name)):
        similar = timm.list_models(f"*{name.partition('.')[0]}*", pretrained=True) or timm.list_models("vit_*dinov*")
        raise UnknownBackbone(f"timm knows no model {name}; it has {', '.join(similar[:4])}.")
    with torch.device("meta" if on_no_device else "cpu"):
        network: nn.Module = timm.create_model(name, pretrained=False)
    require_patches(network, name)
    return network


def require_patches(network: nn.Module, name: str) -> None:
    """Raise `UnsupportedBackbone` unless the network is a vision transformer with one grid of patch tokens."""
    parts = ("blocks", "patch_embed", "num_prefix_tokens", "forward_intermediates")
    if not all(hasattr(network, part) for part in parts) or not getattr(network.patch_embed, "grid_size", None):
        raise UnsupportedBackbone(
            f"timm's {name} is no plain vision transformer with patch tokens; choose one, such as "
            "timm/vit_small_patch14_dinov2.lvd142m."
        )


def depth_of(network: Any) -> int:
    """Return the number of blocks of a transformer."""
    return len(network.blocks)


def _tagged(name: str) -> list[str]:
    return timm.list_models(f"{name.partition('.')[0]}.*", pretrained=True)
