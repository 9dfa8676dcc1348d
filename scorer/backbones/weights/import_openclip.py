"""Import a checkpoint into the weights folder: OpenCLIP's, the official InCTRL's, or one that was stored before."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import torch
from open_clip.model import convert_to_custom_text_state_dict
from torch import nn

from scorer.backbones.openclip import OPTIONAL_TENSORS, Architecture, build_network, find_architecture, grid_of
from scorer.backbones.weights import checkpoints
from scorer.backbones.weights.store import StoredWeights, WeightsCard, WeightsStore, content_hash, read_card
from scorer.detectors.inctrl.heads import UNUSED_TENSORS, InCtrlHeads
from scorer.errors import InvalidWeights

INCTRL_PREFIXES = ("adapter.", "diff_head.", "diff_head_ref.")
OBSOLETE_TENSORS = frozenset(
    {"text.transformer.embeddings.position_ids", "input_resolution", "context_length", "vocab_size"}
)
"""Tensors of older OpenCLIP checkpoints that are not weights; the library's own loader drops them too."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the user states about a file: model and tag, and the configuration of a model unknown to OpenCLIP."""

    model: str = "ViT-B-16-plus-240"
    tag: str | None = None
    config: Mapping[str, Any] | None = None
    source: str | None = None


def import_file(folder: WeightsStore, path: Path, asked: ImportOptions) -> list[StoredWeights]:
    """Check a file and store its towers, heads, or both.

    Raises `InvalidWeights`, and then stores nothing.
    """
    card = read_card(path) if path.suffix == ".safetensors" and path.is_file() else None
    tensors = checkpoints.read_checkpoint(path)
    if card is not None:
        return [_keep_again(folder, path, card, tensors)]
    asked = replace(asked, tag=asked.tag or _tag_of(path), source=asked.source or path.name)
    towers, learned = split_official(tensors)
    chosen = _architecture(asked)
    network = build_on_meta(chosen)
    as_model = f"{path} as {asked.model}"
    if not learned:
        towers = _in_todays_names(network, towers)
        checkpoints.check_state_dict(network.state_dict(), towers, as_model, OPTIONAL_TENSORS)
        return [_keep_towers(folder, asked, chosen, towers)]
    if towers:
        checkpoints.check_state_dict(network.state_dict(), towers, as_model, OPTIONAL_TENSORS)
    with torch.device("meta"):
        heads = InCtrlHeads(int(chosen.config["embed_dim"]), prod(grid_of(network, asked.model)))
    checkpoints.check_state_dict(heads.state_dict(), learned, as_model)
    if not towers:
        backbone = folder.tower(f"{asked.model}:laion400m_e32")
        return [_keep_heads(folder, asked, backbone, learned)]
    backbone = _keep_towers(folder, asked, chosen, towers)
    return [backbone, _keep_heads(folder, asked, backbone, learned)]


def split_official(
    tensors: Mapping[str, torch.Tensor],
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Split the official InCTRL's tensors into CLIP's towers and InCTRL's learned ones, without unused ones."""
    towers = {name: tensor for name, tensor in tensors.items() if not name.startswith(INCTRL_PREFIXES)}
    learned = {
        name: tensor
        for name, tensor in tensors.items()
        if name.startswith(INCTRL_PREFIXES) and name not in UNUSED_TENSORS
    }
    return towers, learned


def build_on_meta(chosen: Architecture) -> nn.Module:
    """Build an architecture's network with names and shapes but without values."""
    with torch.device("meta"):
        return build_network(chosen)


def _architecture(asked: ImportOptions) -> Architecture:
    return (
        find_architecture(asked.model, asked.tag) if asked.config is None else Architecture(asked.model, asked.config)
    )


def _keep_again(folder: WeightsStore, path: Path, card: WeightsCard, tensors: dict[str, torch.Tensor]) -> StoredWeights:
    if content_hash(tensors) != card.contents:
        raise InvalidWeights(f"{path} is not what its card says ({card.name}); get it again.")
    return folder.keep(card, tensors)


def _keep_towers(
    folder: WeightsStore, asked: ImportOptions, chosen: Architecture, towers: dict[str, torch.Tensor]
) -> StoredWeights:
    contents = content_hash(towers)
    if (same := folder.same_tower(asked.model, contents)) is not None:
        return same
    card = WeightsCard(
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


def _keep_heads(
    folder: WeightsStore, asked: ImportOptions, backbone: StoredWeights, learned: dict[str, torch.Tensor]
) -> StoredWeights:
    card = WeightsCard(
        kind="inctrl-heads",
        model="inctrl",
        tag=str(asked.tag),
        source=str(asked.source),
        contents=content_hash(learned),
        backbone=backbone.card.name,
    )
    return folder.keep(card, learned)


def _in_todays_names(network: nn.Module, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the tensors of an older checkpoint as OpenCLIP's own loader does."""
    renamed = {name: value for name, value in tensors.items() if name not in OBSOLETE_TENSORS}
    if "positional_embedding" in renamed and not hasattr(network, "positional_embedding"):
        renamed = convert_to_custom_text_state_dict(renamed)
    wanted = network.state_dict()
    for name in OPTIONAL_TENSORS & renamed.keys() & wanted.keys():
        renamed[name] = renamed[name].reshape(wanted[name].shape)
    return renamed


def _tag_of(path: Path) -> str:
    return re.sub(r"[^\w.-]+", "-", path.stem).strip("-.") or "imported"
