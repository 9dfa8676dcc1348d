"""Bring a checkpoint file into the weights folder: OpenCLIP's, the official InCTRL's, or one that was kept before."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import torch
from open_clip.model import convert_to_custom_text_state_dict
from torch import nn

from scorer import checkpoints
from scorer.backbones.openclip import OPTIONAL_TENSORS, Architecture, architecture, bare, grid_of
from scorer.detectors.inctrl_heads import UNUSED, InCtrlHeads
from scorer.errors import BadWeights
from scorer.weights import Card, Kept, WeightsFolder, card_in, contents_of

LEARNED = ("adapter.", "diff_head.", "diff_head_ref.")
STALE = frozenset({"text.transformer.embeddings.position_ids", "input_resolution", "context_length", "vocab_size"})
"""Tensors of older OpenCLIP checkpoints that are no weights: the library's own loader drops them too."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person says of a file: its model and tag, and for a model OpenCLIP doesn't know, its configuration."""

    model: str = "ViT-B-16-plus-240"
    tag: str | None = None
    config: Mapping[str, Any] | None = None
    source: str | None = None


def import_file(folder: WeightsFolder, path: Path, asked: Asked) -> list[Kept]:
    """Check a file and keep what is in it: towers, heads, or both; raises `BadWeights` and then keeps nothing."""
    card = card_in(path) if path.suffix == ".safetensors" and path.is_file() else None
    tensors = checkpoints.read(path)
    if card is not None:
        return [_keep_again(folder, path, card, tensors)]
    asked = replace(asked, tag=asked.tag or _tag_of(path), source=asked.source or path.name)
    towers, learned = split_official(tensors)
    chosen = _architecture(asked)
    network = on_no_device(chosen)
    as_model = f"{path} as {asked.model}"
    if not learned:
        towers = _in_todays_names(network, towers)
        checkpoints.check(network.state_dict(), towers, as_model, OPTIONAL_TENSORS)
        return [_keep_towers(folder, asked, chosen, towers)]
    if towers:
        checkpoints.check(network.state_dict(), towers, as_model, OPTIONAL_TENSORS)
    with torch.device("meta"):
        heads = InCtrlHeads(int(chosen.config["embed_dim"]), prod(grid_of(network, asked.model)))
    checkpoints.check(heads.state_dict(), learned, as_model)
    if not towers:
        backbone = folder.tower(f"{asked.model}:laion400m_e32")
        return [_keep_heads(folder, asked, backbone, learned)]
    backbone = _keep_towers(folder, asked, chosen, towers)
    return [backbone, _keep_heads(folder, asked, backbone, learned)]


def split_official(
    tensors: Mapping[str, torch.Tensor],
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The official InCTRL's tensors as CLIP's towers and what InCTRL learned, without what its code never reads."""
    towers = {name: tensor for name, tensor in tensors.items() if not name.startswith(LEARNED)}
    learned = {name: tensor for name, tensor in tensors.items() if name.startswith(LEARNED) and name not in UNUSED}
    return towers, learned


def on_no_device(chosen: Architecture) -> nn.Module:
    """An architecture's network with names and shapes but no values."""
    with torch.device("meta"):
        return bare(chosen)


def _architecture(asked: Asked) -> Architecture:
    return architecture(asked.model, asked.tag) if asked.config is None else Architecture(asked.model, asked.config)


def _keep_again(folder: WeightsFolder, path: Path, card: Card, tensors: dict[str, torch.Tensor]) -> Kept:
    if contents_of(tensors) != card.contents:
        raise BadWeights(f"{path} is not what its card says ({card.name}); get it again.")
    return folder.keep(card, tensors)


def _keep_towers(folder: WeightsFolder, asked: Asked, chosen: Architecture, towers: dict[str, torch.Tensor]) -> Kept:
    contents = contents_of(towers)
    if (same := folder.same_tower(asked.model, contents)) is not None:
        return same
    card = Card(
        kind="openclip",
        model=asked.model,
        tag=str(asked.tag),
        source=str(asked.source),
        contents=contents,
        config=chosen.config,
        mean=chosen.mean,
        std=chosen.std,
    )
    return folder.keep(card, towers)


def _keep_heads(folder: WeightsFolder, asked: Asked, backbone: Kept, learned: dict[str, torch.Tensor]) -> Kept:
    card = Card(
        kind="inctrl-heads",
        model="inctrl",
        tag=str(asked.tag),
        source=str(asked.source),
        contents=contents_of(learned),
        backbone=backbone.card.name,
    )
    return folder.keep(card, learned)


def _in_todays_names(network: nn.Module, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """An older checkpoint renamed as OpenCLIP's own loader renames it."""
    renamed = {name: value for name, value in tensors.items() if name not in STALE}
    if "positional_embedding" in renamed and not hasattr(network, "positional_embedding"):
        renamed = convert_to_custom_text_state_dict(renamed)
    wanted = network.state_dict()
    for name in OPTIONAL_TENSORS & renamed.keys() & wanted.keys():
        renamed[name] = renamed[name].reshape(wanted[name].shape)
    return renamed


def _tag_of(path: Path) -> str:
    return re.sub(r"[^\w.-]+", "-", path.stem).strip("-.") or "imported"
