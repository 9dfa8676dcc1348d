"""OpenCLIP towers from the weights folder by a backbone's name; detectors with the same towers share them."""

from copy import deepcopy
from dataclasses import dataclass
from weakref import WeakValueDictionary

import torch

from scorer.backbones.block_selection import select_blocks
from scorer.backbones.clip_architecture import OPTIONAL_TENSORS, Architecture, build_network, image_size_of
from scorer.backbones.openclip import OpenClip, OpenClipPatches
from scorer.backbones.weights import checkpoints
from scorer.backbones.weights.store import StoredWeights, WeightsStore
from scorer.engines.measurements import EngineConfig
from scorer.engines.selection import Tokens, engine_options, select_engine
from scorer.errors import UnsupportedBackbone
from scorer.settings import ScorerSettings

FAMILY = "openclip/"
"""The prefix of a backbone's name, as in ``openclip/ViT-B-16-plus-240`` or ``openclip/MODEL:TAG``."""


@dataclass(frozen=True, eq=False, weakref_slot=True, slots=True)
class LoadedClip:
    """Both towers, and the file they came from."""

    towers: OpenClip
    stored: StoredWeights


_in_use: WeakValueDictionary[tuple[str, str, str], LoadedClip] = WeakValueDictionary()
"""Towers in use by sha256, device, and engine with precision."""


def load_patches(settings: ScorerSettings, device: torch.device) -> OpenClipPatches:
    """Load the image tower that the settings name, for methods that compare patches."""
    clip = load_clip(settings, device)
    blocks = select_blocks(settings.backbone_blocks, clip.towers.blocks, settings.backbone)
    return OpenClipPatches(clip.towers, blocks, clip.stored.sha256)


def load_clip(settings: ScorerSettings, device: torch.device) -> LoadedClip:
    """Load both towers that the settings name; raises `ModelUnavailable` where the folder has none of that name."""
    folder = WeightsStore(settings.weights_path)
    return load_towers(folder, folder.tower(settings.backbone.removeprefix(FAMILY)), settings, device)


def load_towers(
    folder: WeightsStore, stored: StoredWeights, settings: ScorerSettings, device: torch.device
) -> LoadedClip:
    """Load the towers of a stored file, on the engine and in the precision that settings or a measurement choose."""
    key = stored.sha256, str(device), f"{settings.engine} {settings.precision}"
    if (clip := _in_use.get(key)) is None:
        clip = _in_use[key] = LoadedClip(_load(folder, stored, settings, device), stored)
    return clip


def _load(folder: WeightsStore, stored: StoredWeights, settings: ScorerSettings, device: torch.device) -> OpenClip:
    card = stored.card
    chosen = Architecture(card.model, card.config, card.mean, card.std)
    network = build_network(chosen)
    checkpoints.load_into(network, folder.tensors(stored), str(stored.path), optional=OPTIONAL_TENSORS)
    options = engine_options(settings, card.model, stored.sha256)

    def build(config: EngineConfig) -> OpenClip:
        copied = deepcopy(network) if config.precision == "bf16" else network  # it is converted in place
        return OpenClip(copied, chosen, device, config.precision, config.engine, options)

    def tokens_of(config: EngineConfig) -> Tokens:
        towers = build(config)
        blocks = select_blocks("", towers.blocks, card.model)
        return OpenClipPatches(towers, blocks, stored.sha256).tokens

    size = image_size_of(network)
    return build(select_engine(settings, device, f"openclip {card.model}", stored.sha256, size, tokens_of))


def require_text_tower(settings: ScorerSettings) -> None:
    """Raise `UnsupportedBackbone` unless the settings name a backbone that understands texts."""
    if settings.backbone.startswith(FAMILY):
        return
    raise UnsupportedBackbone(
        f"The detector {settings.detector} compares images with texts, and the backbone {settings.backbone} has no "
        "text tower; set scorer.backbone to a CLIP that andon weights list shows, such as openclip/ViT-B-16-plus-240."
    )
