"""What is measured: a method with its settings, on a backbone, in a framing.

Words say which: ``inctrl:coreset_patches=1024`` or ``patchcore:kept_share=0.5``, ``andon-tiny``, ``teacher:FILE.npz``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from scorer.backbones import registry as backbones
from scorer.backbones.protocol import PatchBackbone
from scorer.backbones.teacher_backbone import load_teacher
from scorer.detectors import registry
from scorer.detectors.patch_detector import PatchDetector, PatchMethod
from scorer.detectors.protocol import Detector
from scorer.engines.devices import resolve_device
from scorer.evaluation.errors import EvaluationError
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings
from storage.line.stations import FramingKind

TEACHER_PREFIX = "teacher:"
ALL_METHODS = "all"
BUILT_IN_BACKBONE = "its own"
CLIP_PREFIX = "openclip/"
DATASET_PLACEHOLDER = "{dataset}"
"""In a setting's value it stands for the dataset's name: heads trained without it, for example."""


@dataclass(frozen=True, slots=True)
class BackboneSetup:
    """A backbone in a framing: what tokens depend on. exact: see `backbones.exact_of`."""

    backbone: PatchBackbone
    framing: Framing
    exact: backbones.Fp32Backbone | None = None


def parse_method_specs(asked: str) -> list[str]:
    """The methods of a comma-separated list; ``all`` is every one in the registry."""
    words: list[str] = []
    for word in (part.strip() for part in asked.split(",")):
        words += registry.detector_names() if word == ALL_METHODS else [word]
    for word in words:
        registry.require_known(_name(word))
    return list(dict.fromkeys(words))


def parse_framing(name: str) -> Framing:
    """A framing; ``centre-crop`` is ``centre_crop`` too."""
    kind = name.replace("-", "_")
    for known in get_args(FramingKind):
        if known == kind:
            return Framing(known)
    raise EvaluationError(f"There is no framing {name!r}; it is one of {', '.join(get_args(FramingKind))}.")


def is_patch_method(word: str) -> bool:
    """Whether a method compares patches of whatever backbone it is given."""
    return _name(word) in registry.PATCH_METHODS


def load_backbone_setup(word: str, framing: Framing, settings: ScorerSettings) -> BackboneSetup:
    """Load a backbone: one of the registry, or ``teacher:FILE.npz``, ``teacher:FOLDER`` (both teachers) or
    ``teacher:FILE.npz:layer2+layer3``."""
    device = resolve_device(settings.device)
    if not word.startswith(TEACHER_PREFIX):
        settings = settings.model_copy(update={"backbone": word})
        backbone = backbones.load(settings, device)
        return BackboneSetup(backbone, framing, backbones.fp32_twin(backbone, settings, device))
    path, _, layers = word.removeprefix(TEACHER_PREFIX).partition(":")
    return BackboneSetup(load_teacher(Path(path), layers, device), framing)


def load_patch_detector(word: str, dataset: str, ground: BackboneSetup, settings: ScorerSettings) -> PatchDetector:
    """A method that compares patches, on a ground."""
    values = _values(word, dataset)
    of_settings = {name: value for name, value in values.items() if name in ScorerSettings.model_fields}
    changed = _changed(settings, word, {"backbone": ground.backbone.name, **of_settings})
    method = registry.PATCH_METHODS[_name(word)](changed)
    own = {name: value for name, value in values.items() if name not in of_settings}
    return PatchDetector(_remade(method, word, own) if own else method, ground.backbone, ground.framing, ground.exact)


def load_whole_image_detector(
    word: str, dataset: str, clip: str | None, framing: Framing, settings: ScorerSettings
) -> Detector:
    """A detector that brings its own backbone, or takes the towers of a CLIP."""
    backbone = {} if clip is None else {"backbone": clip}
    return registry.load(_changed(settings, word, {**backbone, **_values(word, dataset)}), framing)


def _name(word: str) -> str:
    return word.partition(":")[0]


def _values(word: str, dataset: str) -> dict[str, str]:
    """What a word sets: ``NAME:this=value+that=value``."""
    name, _, rest = word.partition(":")
    pairs = [pair.partition("=") for pair in rest.split("+")] if rest else []
    if not all(equals for _, equals, _ in pairs):
        raise EvaluationError(f"{word!r} is no method with what it sets; write {name}:coreset_patches=1024, say.")
    return {setting: value.replace(DATASET_PLACEHOLDER, dataset) for setting, _, value in pairs}


def _changed(settings: ScorerSettings, word: str, values: Mapping[str, str]) -> ScorerSettings:
    try:
        return ScorerSettings.model_validate({**settings.model_dump(), "detector": _name(word), **values})
    except ValidationError as error:
        raise EvaluationError(f"{word!r}: {error.errors()[0]['msg']}.") from error


def _remade(method: PatchMethod, word: str, values: Mapping[str, str]) -> PatchMethod:
    """The method with arguments of its own changed; each is read as what its default is."""
    known = {
        name: type(parameter.default)
        for name, parameter in signature(type(method)).parameters.items()
        if isinstance(parameter.default, int | float | str)
    }
    if unknown := [name for name in values if name not in known]:
        raise EvaluationError(
            f"{word!r}: {unknown[0]} is neither a setting of the scorer nor an argument of {method.name}, which are "
            f"{', '.join(known) or 'none'}."
        )
    try:
        return type(method)(**{name: known[name](value) for name, value in values.items()})
    except ValueError as error:
        raise EvaluationError(f"{word!r}: {error}.") from error
