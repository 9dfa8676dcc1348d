"""Any timm vision transformer by name as a backbone of patch tokens: DINOv2, DINOv3, Perception Encoder, plain ViTs.

Grid, depth, width, class and register tokens, image size and normalisation are what timm says of the model. Tokens are
a block's output after the model's last norm, as DINOv2's own `get_intermediate_layers` gives them (docs/adr/0023).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import timm
import torch
from torch import nn

from scorer import checkpoints
from scorer.backbones.blocks import chosen_blocks
from scorer.backbones.precision import Precision, dtype_for
from scorer.errors import ModelUnavailable, UnfitBackbone, UnknownBackbone
from scorer.settings import ScorerSettings
from scorer.weights import WeightsFolder

FAMILY = "timm/"
"""What a backbone's name starts with, as in ``timm/vit_small_patch14_dinov2.lvd142m``."""


class TimmVit:
    """Turns framed pictures into the patch tokens of chosen blocks; `blocks` count from 1 and rise."""

    def __init__(
        self,
        network: nn.Module,
        name: str,
        blocks: Sequence[int],
        device: torch.device,
        precision: Precision = "auto",
        weights_sha256: str | None = None,
    ) -> None:
        require_patches(network, name)
        self.name = name
        self.device = device
        self.dtype = dtype_for(precision, device)
        self.blocks = tuple(blocks)
        self.weights_sha256 = weights_sha256
        vit: Any = network.eval().requires_grad_(False).to(device=device, dtype=self.dtype)
        self._network = vit
        says = vit.pretrained_cfg
        self._mean, self._std = (torch.tensor(says[part], device=device).view(3, 1, 1) for part in ("mean", "std"))
        height, width = vit.patch_embed.img_size
        rows, columns = vit.patch_embed.grid_size
        self.size, self.grid = (int(height), int(width)), (int(rows), int(columns))

    @property
    def depth(self) -> int:
        """How many blocks it has."""
        return depth_of(self._network)

    @property
    def width(self) -> int:
        """Of a token."""
        return int(self._network.embed_dim)

    @property
    def prefix_tokens(self) -> int:
        """How many class and register tokens go before the patches."""
        return int(self._network.num_prefix_tokens)

    @property
    def configuration(self) -> Mapping[str, float]:
        """What its values depend on beside the weights."""
        layers = {f"layer {place}": float(block) for place, block in enumerate(self.blocks)}
        return {"bf16": float(self.dtype == torch.bfloat16), "normed": 1.0, **layers}

    @torch.inference_mode()
    def tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, height, width), uint8 RGB, to (blocks, B, patches row by row, width), float32."""
        pictures = ((pixels.to(self.device).float() / 255 - self._mean) / self._std).to(self.dtype)
        layers = self._network.forward_intermediates(
            pictures,
            indices=[block - 1 for block in self.blocks],
            norm=True,
            stop_early=True,
            output_fmt="NLC",
            intermediates_only=True,
        )
        return torch.stack(layers).float()


def load_timm(settings: ScorerSettings, device: torch.device) -> TimmVit:
    """The kept transformer that the settings name; raises `ModelUnavailable` where it isn't kept, saying what to do."""
    folder = WeightsFolder(settings.weights_path)
    try:
        kept = folder.transformer(settings.backbone)
    except ModelUnavailable:
        bare(settings.backbone.removeprefix(FAMILY), on_no_device=True)  # no weights help a name timm doesn't know
        raise
    network = bare(kept.card.config["timm"])
    checkpoints.fill(network, folder.tensors(kept), str(kept.path))
    blocks = chosen_blocks(settings.backbone_blocks, depth_of(network), settings.backbone)
    return TimmVit(network, kept.card.name, blocks, device, settings.precision, kept.sha256)


def bare(name: str, on_no_device: bool = False) -> nn.Module:
    """A transformer of timm's by ``MODEL`` or ``MODEL.TAG``, with random weights, or none at all `on_no_device`.

    Raises `UnknownBackbone` for a name that timm doesn't know, `UnfitBackbone` where it is no vision transformer.
    """
    if not timm.is_model(name) or ("." in name and name not in _tagged(name)):
        near = timm.list_models(f"*{name.partition('.')[0]}*", pretrained=True) or timm.list_models("vit_*dinov*")
        raise UnknownBackbone(f"timm knows no model {name}; it has {', '.join(near[:4])}.")
    with torch.device("meta" if on_no_device else "cpu"):
        network: nn.Module = timm.create_model(name, pretrained=False)
    require_patches(network, name)
    return network


def require_patches(network: nn.Module, name: str) -> None:
    """Raise `UnfitBackbone` unless the network is a vision transformer with one grid of patch tokens."""
    parts = ("blocks", "patch_embed", "num_prefix_tokens", "forward_intermediates")
    if not all(hasattr(network, part) for part in parts) or not getattr(network.patch_embed, "grid_size", None):
        raise UnfitBackbone(
            f"timm's {name} is no plain vision transformer with patch tokens; choose one, such as "
            "timm/vit_small_patch14_dinov2.lvd142m."
        )


def depth_of(network: Any) -> int:
    """How many blocks a transformer has."""
    return len(network.blocks)


def _tagged(name: str) -> list[str]:
    return timm.list_models(f"{name.partition('.')[0]}.*", pretrained=True)
