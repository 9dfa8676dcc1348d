"""OpenCLIP's architectures by name: their configuration, their network without weights, and its image tower's shape."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import open_clip
from open_clip import CLIP, CoCa, CustomTextCLIP
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from torch import nn

from scorer.errors import ModelUnavailable

OPTIONAL_TENSORS = frozenset({"logit_scale", "logit_bias"})
"""Temperature of CLIP's own training; a checkpoint without it encodes images and texts in the same way."""


@dataclass(frozen=True)
class Architecture:
    """An OpenCLIP model without its weights: configuration, and how its images are normalised."""

    model: str
    config: Mapping[str, Any]
    mean: tuple[float, ...] = OPENAI_DATASET_MEAN
    std: tuple[float, ...] = OPENAI_DATASET_STD


def find_architecture(model: str, tag: str | None = None) -> Architecture:
    """Return the architecture of a name such as ``ViT-B-16-plus-240``; a tag may change activation and normalisation.

    Raises `ModelUnavailable` for a name that OpenCLIP does not know.
    """
    config = open_clip.get_model_config(model)
    if config is None:
        similar = get_close_matches(model, open_clip.list_models(), n=3)
        hint = f"similar names are {', '.join(similar)}" if similar else "ViT-B-16-plus-240 is InCTRL's"
        raise ModelUnavailable(f"OpenCLIP knows no model {model}; {hint}.")
    pretrained = open_clip.get_pretrained_cfg(model, tag) if tag else {}
    if pretrained.get("quick_gelu"):
        config["quick_gelu"] = True
    mean, std = pretrained.get("mean", OPENAI_DATASET_MEAN), pretrained.get("std", OPENAI_DATASET_STD)
    return Architecture(model, config, tuple(mean), tuple(std))


def build_network(chosen: Architecture) -> nn.Module:
    """Build the network of an architecture with random weights, on the CPU, ready for inference."""
    config = deepcopy(dict(chosen.config))
    text = config["text_cfg"]
    has_custom_text = config.pop("custom_text", False) or "hf_model_name" in text
    if "hf_model_name" in text:
        text["hf_model_pretrained"] = False
    kind = CLIP if not has_custom_text else CoCa if "multimodal_cfg" in config else CustomTextCLIP
    network: nn.Module = kind(**config)
    return network.eval().requires_grad_(False)


def grid_of(network: nn.Module, model: str) -> tuple[int, int]:
    """Return rows and columns of patches of an image tower.

    Raises `ModelUnavailable` where it is no vision transformer.
    """
    blocks_of(network, model)
    trunk = _trunk_of(network)
    rows, columns = getattr(trunk, "patch_embed", trunk).grid_size
    return int(rows), int(columns)


def image_size_of(network: Any) -> tuple[int, int]:
    """Return height and width of the images that an image tower takes, in pixels."""
    height, width = network.visual.image_size
    return int(height), int(width)


def blocks_of(network: nn.Module, model: str) -> Any:
    """Return the transformer blocks of an image tower; raises `ModelUnavailable` as `grid_of`."""
    trunk = _trunk_of(network)
    blocks = getattr(trunk, "blocks", None) or getattr(getattr(trunk, "transformer", None), "resblocks", None)
    if blocks is None or not hasattr(getattr(trunk, "patch_embed", trunk), "grid_size"):
        raise ModelUnavailable(
            f"{model} has no vision transformer with patch tokens; choose a ViT, such as ViT-B-16-plus-240."
        )
    return blocks


def _trunk_of(network: nn.Module) -> Any:
    """Return the image transformer; a timm tower has it one level down."""
    return getattr(network.visual, "trunk", network.visual)
