"""The backbones there are for methods that compare patches, by name: a new one is one file and one line here."""

from collections.abc import Callable, Mapping

import torch

from scorer.backbones.filterbank import Filterbank
from scorer.backbones.protocol import PatchBackbone
from scorer.backbones.tiny import load_tiny
from scorer.errors import UnknownBackbone
from scorer.settings import ScorerSettings

Loading = Callable[[ScorerSettings, torch.device], PatchBackbone]

BACKBONES: Mapping[str, Loading] = {
    "andon-tiny": lambda _, device: load_tiny(device),
    "filterbank": lambda _, device: Filterbank(device),
}


def load(settings: ScorerSettings, device: torch.device) -> PatchBackbone:
    """Load the backbone that the settings name; raises `UnknownBackbone`, or `ModelUnavailable` without its weights."""
    require_known(settings.backbone)
    return BACKBONES[settings.backbone](settings, device)


def require_known(name: str) -> None:
    """Raise `UnknownBackbone` unless there is a backbone of that name."""
    if name not in BACKBONES:
        raise UnknownBackbone(
            f"There is no backbone {name!r}; scorer.backbone is one of {', '.join(sorted(BACKBONES))}."
        )
