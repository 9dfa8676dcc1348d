"""OpenCLIP towers out of the weights folder by a backbone's name, shared by all who ask for the same."""

from dataclasses import dataclass
from weakref import WeakValueDictionary

import torch

from scorer.backbones.blocks import chosen_blocks
from scorer.backbones.openclip import Architecture, OpenClip, OpenClipPatches
from scorer.errors import UnfitBackbone
from scorer.settings import ScorerSettings
from scorer.weights import Kept, WeightsFolder

FAMILY = "openclip/"
"""What a backbone's name starts with, as in ``openclip/ViT-B-16-plus-240`` or ``openclip/MODEL:TAG``."""


@dataclass(frozen=True, eq=False, weakref_slot=True, slots=True)
class KeptClip:
    """Both towers, and the file they came from."""

    towers: OpenClip
    kept: Kept


_in_use: WeakValueDictionary[tuple[str, str, str], KeptClip] = WeakValueDictionary()
"""By sha256, device and precision."""


def load_patches(settings: ScorerSettings, device: torch.device) -> OpenClipPatches:
    """The image tower that the settings name, for methods that compare patches."""
    clip = load_clip(settings, device)
    blocks = chosen_blocks(settings.backbone_blocks, clip.towers.blocks, settings.backbone)
    return OpenClipPatches(clip.towers, blocks, clip.kept.sha256)


def load_clip(settings: ScorerSettings, device: torch.device) -> KeptClip:
    """Both towers that the settings name; raises `ModelUnavailable` where the weights folder has none of that name."""
    folder = WeightsFolder(settings.weights_path)
    kept = folder.tower(settings.backbone.removeprefix(FAMILY))
    key = kept.sha256, str(device), settings.precision
    if (clip := _in_use.get(key)) is None:
        card = kept.card
        chosen = Architecture(card.model, card.config, card.mean, card.std)
        towers = OpenClip.of(chosen, folder.tensors(kept), str(kept.path), device, settings.precision)
        clip = _in_use[key] = KeptClip(towers, kept)
    return clip


def require_texts(settings: ScorerSettings) -> None:
    """Raise `UnfitBackbone` unless the settings name a backbone that understands texts."""
    if settings.backbone.startswith(FAMILY):
        return
    raise UnfitBackbone(
        f"The detector {settings.detector} compares images with texts, and the backbone {settings.backbone} has no "
        "text tower; set scorer.backbone to a CLIP that andon weights list shows, such as openclip/ViT-B-16-plus-240."
    )
