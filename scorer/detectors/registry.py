"""All detectors by name: those of this package, one file and one line here each, and those of installed packages."""

from collections.abc import Callable, Mapping
from typing import Any

from scorer.backbones import registry as backbones
from scorer.backbones.weights.store import WeightsStore
from scorer.detectors import plugins
from scorer.detectors.anomalydino import AnomalyDino
from scorer.detectors.inctrl import visual as inctrl_visual
from scorer.detectors.nearest_patch import NearestPatch
from scorer.detectors.padim import Padim
from scorer.detectors.patch_based.detector import PatchDetector
from scorer.detectors.patch_based.method import PatchMethod
from scorer.detectors.patchcore import PatchCore
from scorer.detectors.protocol import Detector
from scorer.detectors.regad import method as regad
from scorer.detectors.spade import Spade
from scorer.detectors.subspacead import SubspaceAD
from scorer.detectors.whole_image import WholeImageDetector, WholeImageMethod
from scorer.engines.devices import resolve_device
from scorer.errors import ModelUnavailable, UnknownDetector
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings

AUTO = "auto"
DEFAULT_DETECTOR = "nearest-patch"
"""Needs no download, and is the best of docs/accuracy.md, chosen leaving out each dataset in turn."""

LoadDetector = Callable[[ScorerSettings, Framing], Detector]


# OpenCLIP takes seconds to import, so the methods that need it are imported when they are requested.
def _inctrl(settings: ScorerSettings) -> WholeImageMethod[Any]:
    from scorer.detectors.inctrl import method

    return method.load(settings)


def _winclip(settings: ScorerSettings) -> WholeImageMethod[Any]:
    from scorer.detectors.clip import winclip

    return winclip.load(settings)


def _coop(settings: ScorerSettings) -> WholeImageMethod[Any]:
    from scorer.detectors.clip import coop

    return coop.load(settings)


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

WHOLE_IMAGE_METHODS: Mapping[str, Callable[[ScorerSettings], WholeImageMethod[Any]]] = {
    "coop": _coop,
    "inctrl": _inctrl,
    "winclip": _winclip,
}
"""Methods that compare whole images and have their own network."""


def load(settings: ScorerSettings, framing: Framing) -> Detector:
    """Load the detector that the settings name, with its preprocessing.

    Raises:
        UnknownDetector: No detector has that name.
        UnknownBackbone: No backbone has the name that the settings give.
        UnsupportedBackbone: The backbone lacks what the detector needs.
        ModelUnavailable: Weights or device are missing.
        PluginError: The detector of another package cannot be loaded.
    """
    method = _load_method(resolve_name(settings), settings)
    if isinstance(method, WholeImageMethod):
        return WholeImageDetector(method, framing)
    device = resolve_device(settings.device)
    backbone = backbones.load(settings, device)
    return PatchDetector(method, backbone, framing, backbones.fp32_twin(backbone, settings, device))


def resolve_name(settings: ScorerSettings) -> str:
    """Return the detector's name; ``auto`` is InCTRL where its weights are stored, else nearest patch.

    Raises `UnknownDetector`.
    """
    if settings.detector == AUTO:
        return "inctrl" if _has_inctrl(settings) else DEFAULT_DETECTOR
    require_known(settings.detector)
    return settings.detector


def require_known(name: str) -> None:
    """Raise `UnknownDetector` unless a detector has that name."""
    if name not in detector_names():
        known = ", ".join([AUTO, *detector_names()])
        raise UnknownDetector(f"There is no detector {name!r}; scorer.detector is {known}.")


def detector_names() -> list[str]:
    """Return the names of all detectors, those of installed packages too, in alphabetical order."""
    return sorted({*WHOLE_IMAGE_METHODS, *PATCH_METHODS, *plugins.installed_detectors()})


def _load_method(name: str, settings: ScorerSettings) -> PatchMethod | WholeImageMethod[Any]:
    """Load a method; one of this package is never replaced by another package's of the same name."""
    if name in WHOLE_IMAGE_METHODS:
        return WHOLE_IMAGE_METHODS[name](settings)
    if name in PATCH_METHODS:
        return PATCH_METHODS[name](settings)
    return plugins.load_method(name, settings)


def _has_inctrl(settings: ScorerSettings) -> bool:
    store = WeightsStore(settings.weights_path)
    try:
        store.tower(str(store.heads(settings.inctrl_heads or None).card.backbone))
    except ModelUnavailable:
        return False
    return True
