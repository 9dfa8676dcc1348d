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

from scorer.backbones.clip_architecture import OPTIONAL_TENSORS, Architecture, build_network, find_architecture, grid_of
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


def import_file(folder: WeightsStore, path: Path, options: ImportOptions) -> list[StoredWeights]:
    """Check a file and store its towers, heads, or both.

    Raises `InvalidWeights`, and then stores nothing.
    """
    card = read_card(path) if path.suffix == ".safetensors" and path.is_file() else None
    tensors = checkpoints.read_checkpoint(path)
    if card is not None:
        return [_reimport(folder, path, card, tensors)]
    options = replace(options, tag=options.tag or _tag_of(path), source=options.source or path.name)
    towers, learned = split_official(tensors)
    chosen = _architecture(options)
    network = build_on_meta(chosen)
    as_model = f"{path} as {options.model}"
    if not learned:
        towers = _in_current_names(network, towers)
        checkpoints.check_state_dict(network.state_dict(), towers, as_model, OPTIONAL_TENSORS)
        return [_put_towers(folder, options, chosen, towers)]
    if towers:
        checkpoints.check_state_dict(network.state_dict(), towers, as_model, OPTIONAL_TENSORS)
    with torch.device("meta"):
        heads = InCtrlHeads(int(chosen.config["embed_dim"]), prod(grid_of(network, options.model)))
    checkpoints.check_state_dict(heads.state_dict(), learned, as_model)
    if not towers:
        backbone = folder.tower(f"{options.model}:laion400m_e32")
        return [_put_heads(folder, options, backbone, learned)]
    backbone = _put_towers(folder, options, chosen, towers)
    return [backbone, _put_heads(folder, options, backbone, learned)]


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


def _architecture(options: ImportOptions) -> Architecture:
    return (
        find_architecture(options.model, options.tag)
        if options.config is None
        else Architecture(options.model, options.config)
    )


def _reimport(folder: WeightsStore, path: Path, card: WeightsCard, tensors: dict[str, torch.Tensor]) -> StoredWeights:
    if content_hash(tensors) != card.contents:
        raise InvalidWeights(f"{path} is not what its card says ({card.name}); get it again.")
    return folder.put(card, tensors)


def _put_towers(
    folder: WeightsStore, options: ImportOptions, chosen: Architecture, towers: dict[str, torch.Tensor]
) -> StoredWeights:
    contents = content_hash(towers)
    if (same := folder.same_tower(options.model, contents)) is not None:
        return same
    card = WeightsCard(
        kind="openclip",
        model=options.model,
        tag=str(options.tag),
        source=str(options.source),
        contents=contents,
        config=chosen.config,
        mean=chosen.mean,
        std=chosen.std,
    )
    return folder.put(card, towers)


def _put_heads(
    folder: WeightsStore, options: ImportOptions, backbone: StoredWeights, learned: dict[str, torch.Tensor]
) -> StoredWeights:
    card = WeightsCard(
        kind="inctrl-heads",
        model="inctrl",
        tag=str(options.tag),
        source=str(options.source),
        contents=content_hash(learned),
        backbone=backbone.card.name,
    )
    return folder.put(card, learned)


def _in_current_names(network: nn.Module, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the tensors of an older checkpoint as OpenCLIP's own loader does."""
    renamed = {name: value for name, value in tensors.items() if name not in OBSOLETE_TENSORS}
    if "positional_embedding" in renamed and not hasattr(network, "positional_embedding"):
        renamed = convert_to_custom_text_state_dict(renamed)
    expected = network.state_dict()
    for name in OPTIONAL_TENSORS & renamed.keys() & expected.keys():
        renamed[name] = renamed[name].reshape(expected[name].shape)
    return renamed


def _tag_of(path: Path) -> str:
    return re.sub(r"[^\w.-]+", "-", path.stem).strip("-.") or "imported"
