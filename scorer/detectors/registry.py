"""The detectors there are, by name: a new one is one file and one line here."""

from collections.abc import Callable, Mapping

import torch

from scorer.backbones import registry as backbones
from scorer.detectors import inctrl_visual, regad
from scorer.detectors.anomalydino import AnomalyDino
from scorer.detectors.nearest_patch import NearestPatch
from scorer.detectors.padim import Padim
from scorer.detectors.patchcore import PatchCore
from scorer.detectors.patches import PatchDetector, PatchMethod
from scorer.detectors.protocol import Detector
from scorer.detectors.spade import Spade
from scorer.detectors.subspacead import SubspaceAD
from scorer.devices import device_of
from scorer.errors import ModelUnavailable, UnknownDetector
from scorer.framing import Framing
from scorer.settings import ScorerSettings
from scorer.weights import WeightsFolder

Load = Callable[[ScorerSettings, Framing], Detector]
Loading = Callable[[ScorerSettings, torch.device, Framing], Detector]


def _inctrl(settings: ScorerSettings, device: torch.device, framing: Framing) -> Detector:
    from scorer.detectors import inctrl  # OpenCLIP takes seconds to import, which only who asks for it should wait

    return inctrl.load(settings, device, framing)


def _winclip(settings: ScorerSettings, device: torch.device, framing: Framing) -> Detector:
    from scorer.detectors import winclip  # as above

    return winclip.load(settings, device, framing)


def _coop(settings: ScorerSettings, device: torch.device, framing: Framing) -> Detector:
    from scorer.detectors import coop  # as above

    return coop.load(settings, device, framing)


AUTO = "auto"
WITHOUT_WEIGHTS = "nearest-patch"
"""What needs no download: the best of docs/accuracy.md, chosen leaving out each set in turn."""

PATCH_METHODS: Mapping[str, Callable[[ScorerSettings], PatchMethod]] = {
    "anomalydino": lambda _: AnomalyDino(),
    "inctrl-visual": inctrl_visual.load,
    "nearest-patch": lambda _: NearestPatch(),
    "padim": lambda _: Padim(),
    "patchcore": lambda _: PatchCore(),
    "regad": lambda _: regad.load(),
    "spade": lambda _: Spade(),
    "subspacead": lambda _: SubspaceAD(),
}
"""Methods that compare patches, on any backbone."""

DETECTORS: Mapping[str, Loading] = {
    "coop": _coop,
    "inctrl": _inctrl,
    "winclip": _winclip,
}
"""Detectors that bring their own backbone."""


def load(settings: ScorerSettings, framing: Framing) -> Detector:
    """Load the detector that the settings name; raises `UnknownDetector`, or `ModelUnavailable` without its weights."""
    name = chosen(settings)
    device = device_of(settings.device)
    if name in DETECTORS:
        return DETECTORS[name](settings, device, framing)
    backbone = backbones.load(settings, device)
    return PatchDetector(
        PATCH_METHODS[name](settings), backbone, framing, backbones.exact_of(backbone, settings, device)
    )


def chosen(settings: ScorerSettings) -> str:
    """The detector's name; ``auto`` is InCTRL where its heads and their towers are kept, else nearest patch.

    Raises `UnknownDetector`.
    """
    if settings.detector == AUTO:
        return "inctrl" if _has_inctrl(settings) else WITHOUT_WEIGHTS
    require_known(settings.detector)
    return settings.detector


def require_known(name: str) -> None:
    """Raise `UnknownDetector` unless there is a detector of that name."""
    if name not in names():
        known = ", ".join([AUTO, *names()])
        raise UnknownDetector(f"There is no detector {name!r}; scorer.detector is {known}.")


def _has_inctrl(settings: ScorerSettings) -> bool:
    folder = WeightsFolder(settings.weights_path)
    try:
        folder.tower(str(folder.heads(settings.inctrl_heads or None).card.backbone))
    except ModelUnavailable:
        return False
    return True


def names() -> list[str]:
    """All detectors, by name."""
    return sorted([*DETECTORS, *PATCH_METHODS])
