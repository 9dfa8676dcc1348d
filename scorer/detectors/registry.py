"""The detectors there are, by name: a new one is one file and one line here."""

from collections.abc import Callable, Mapping

import torch

from scorer.backbones import registry as backbones
from scorer.backbones.weights.store import WeightsStore
from scorer.detectors.anomalydino import AnomalyDino
from scorer.detectors.inctrl import visual
from scorer.detectors.nearest_patch import NearestPatch
from scorer.detectors.padim import Padim
from scorer.detectors.patch_detector import PatchDetector, PatchMethod
from scorer.detectors.patchcore import PatchCore
from scorer.detectors.protocol import Detector
from scorer.detectors.regad import detector
from scorer.detectors.spade import Spade
from scorer.detectors.subspacead import SubspaceAD
from scorer.engines.devices import resolve_device
from scorer.errors import ModelUnavailable, UnknownDetector
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings

LoadDetector = Callable[[ScorerSettings, Framing], Detector]
DetectorFactory = Callable[[ScorerSettings, torch.device, Framing], Detector]


def _inctrl(settings: ScorerSettings, device: torch.device, framing: Framing) -> Detector:
    from scorer.detectors.inctrl import (
        detector,  # OpenCLIP takes seconds to import, which only who asks for it should wait
    )

    return detector.load(settings, device, framing)


def _winclip(settings: ScorerSettings, device: torch.device, framing: Framing) -> Detector:
    from scorer.detectors.clip import winclip  # as above

    return winclip.load(settings, device, framing)


def _coop(settings: ScorerSettings, device: torch.device, framing: Framing) -> Detector:
    from scorer.detectors.clip import coop  # as above

    return coop.load(settings, device, framing)


AUTO = "auto"
DEFAULT_DETECTOR = "nearest-patch"
"""What needs no download: the best of docs/explanation/accuracy.md, chosen leaving out each set in turn."""

PATCH_METHODS: Mapping[str, Callable[[ScorerSettings], PatchMethod]] = {
    "anomalydino": lambda _: AnomalyDino(),
    "inctrl-visual": visual.load,
    "nearest-patch": lambda _: NearestPatch(),
    "padim": lambda _: Padim(),
    "patchcore": lambda _: PatchCore(),
    "regad": lambda _: detector.load(),
    "spade": lambda _: Spade(),
    "subspacead": lambda _: SubspaceAD(),
}
"""Methods that compare patches, on any backbone."""

DETECTORS: Mapping[str, DetectorFactory] = {
    "coop": _coop,
    "inctrl": _inctrl,
    "winclip": _winclip,
}
"""Detectors that bring their own backbone."""


def load(settings: ScorerSettings, framing: Framing) -> Detector:
    """Load the detector that the settings name; raises `UnknownDetector`, or `ModelUnavailable` without its weights."""
    name = resolve_name(settings)
    device = resolve_device(settings.device)
    if name in DETECTORS:
        return DETECTORS[name](settings, device, framing)
    backbone = backbones.load(settings, device)
    return PatchDetector(
        PATCH_METHODS[name](settings), backbone, framing, backbones.fp32_twin(backbone, settings, device)
    )


def resolve_name(settings: ScorerSettings) -> str:
    """The detector's name; ``auto`` is InCTRL where its heads and their towers are kept, else nearest patch.

    Raises `UnknownDetector`.
    """
    if settings.detector == AUTO:
        return "inctrl" if _has_inctrl(settings) else DEFAULT_DETECTOR
    require_known(settings.detector)
    return settings.detector


def require_known(name: str) -> None:
    """Raise `UnknownDetector` unless there is a detector of that name."""
    if name not in detector_names():
        known = ", ".join([AUTO, *detector_names()])
        raise UnknownDetector(f"There is no detector {name!r}; scorer.detector is {known}.")


def _has_inctrl(settings: ScorerSettings) -> bool:
    folder = WeightsStore(settings.weights_path)
    try:
        folder.tower(str(folder.heads(settings.inctrl_heads or None).card.backbone))
    except ModelUnavailable:
        return False
    return True


def detector_names() -> list[str]:
    """All detectors, by name."""
    return sorted([*DETECTORS, *PATCH_METHODS])
