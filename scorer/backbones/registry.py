"""All backbones for methods that compare patches, by name: a new one is one file and one line here."""

from collections.abc import Callable, Mapping
from functools import cache

import torch

from scorer.backbones.filterbank import Filterbank
from scorer.backbones.protocol import PatchBackbone
from scorer.backbones.tiny import load_tiny_on_engine
from scorer.errors import UnknownBackbone, UnsupportedBackbone
from scorer.settings import ScorerSettings

BackboneFactory = Callable[[ScorerSettings, torch.device], PatchBackbone]
Fp32Backbone = Callable[[], PatchBackbone]


def _openclip(settings: ScorerSettings, device: torch.device) -> PatchBackbone:
    from scorer.backbones import clip_loader  # OpenCLIP takes seconds to import

    return clip_loader.load_patches(settings, device)


def _timm(settings: ScorerSettings, device: torch.device) -> PatchBackbone:
    from scorer.backbones import timm_vit  # as above

    return timm_vit.load_timm(settings, device)


BACKBONES: Mapping[str, BackboneFactory] = {
    "andon-tiny": load_tiny_on_engine,
    "filterbank": lambda _, device: Filterbank(device),
}
"""Those that need no weights folder."""

FAMILIES: Mapping[str, BackboneFactory] = {
    "openclip/": _openclip,
    "timm/": _timm,
}
"""Vision transformers from the weights folder, by the prefix of their names."""


def load(settings: ScorerSettings, device: torch.device) -> PatchBackbone:
    """Load the backbone that the settings name.

    Raises `UnknownBackbone`, `UnsupportedBackbone` where it can't do what the settings ask, or `ModelUnavailable`
    without its
    weights.
    """
    require_known(settings.backbone)
    for prefix, loading in FAMILIES.items():
        if settings.backbone.startswith(prefix):
            return loading(settings, device)
    if settings.backbone_blocks:
        raise UnsupportedBackbone(
            f"scorer.backbone_blocks is {settings.backbone_blocks!r}, which chooses blocks of a vision transformer; "
            f"{settings.backbone} is none: leave it empty."
        )
    return BACKBONES[settings.backbone](settings, device)


def fp32_twin(backbone: PatchBackbone, settings: ScorerSettings, device: torch.device) -> Fp32Backbone | None:
    """Return a function that loads the same backbone on torch in fp32, once; None where `backbone` is fp32 already."""
    if not backbone.configuration.get("bf16"):
        return None
    in_fp32 = settings.model_copy(update={"precision": "fp32", "engine": "torch"})
    return cache(lambda: load(in_fp32, device))


def require_known(name: str) -> None:
    """Raise `UnknownBackbone` unless a backbone has that name, or it is one of a family."""
    if name not in BACKBONES and not any(name.startswith(prefix) and name != prefix for prefix in FAMILIES):
        raise UnknownBackbone(
            f"There is no backbone {name!r}; scorer.backbone is one of {', '.join(sorted(BACKBONES))}, "
            "openclip/MODEL or timm/MODEL.TAG, as andon weights list shows them."
        )
