"""The detectors there are, by name: a new one is one file and one line here."""

from collections.abc import Callable, Mapping

import torch

from scorer.backbones.filterbank import Filterbank
from scorer.backbones.tiny import load_tiny
from scorer.detectors.nearest_patch import NearestPatchDetector
from scorer.detectors.protocol import Detector
from scorer.devices import device_of
from scorer.errors import UnknownDetector
from scorer.framing import Framing
from scorer.settings import ScorerSettings

Load = Callable[[ScorerSettings, Framing], Detector]
Loading = Callable[[ScorerSettings, torch.device, Framing], Detector]


def _inctrl(settings: ScorerSettings, device: torch.device, framing: Framing) -> Detector:
    from scorer.detectors import inctrl  # OpenCLIP takes seconds to import, which only who asks for it should wait

    return inctrl.load(settings, device, framing)


DETECTORS: Mapping[str, Loading] = {
    "inctrl": _inctrl,
    "nearest-patch": lambda _, device, framing: NearestPatchDetector(load_tiny(device), framing),
    "nearest-patch-filterbank": lambda _, device, framing: NearestPatchDetector(
        Filterbank(device), framing, "nearest-patch-filterbank"
    ),
}


def load(settings: ScorerSettings, framing: Framing) -> Detector:
    """Load the detector that the settings name; raises `UnknownDetector`, or `ModelUnavailable` without its weights."""
    require_known(settings.detector)
    return DETECTORS[settings.detector](settings, device_of(settings.device), framing)


def require_known(name: str) -> None:
    """Raise `UnknownDetector` unless there is a detector of that name."""
    if name not in DETECTORS:
        raise UnknownDetector(
            f"There is no detector {name!r}; scorer.detector is one of {', '.join(sorted(DETECTORS))}."
        )
