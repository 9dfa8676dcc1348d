"""The subjects of an evaluation: method specs, backbone setups and framings, parsed from the command line.

A method spec is ``NAME`` or ``NAME:setting=value+setting=value``, such as ``inctrl:coreset_patches=1024``. A backbone
spec is a name of the registry, or a teacher: ``teacher:FILE.npz``.
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
from scorer.detectors.patch_based.detector import PatchDetector
from scorer.detectors.patch_based.method import PatchMethod
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
"""Stands for the dataset's name in the value of a setting, to name heads trained without it, for example."""


@dataclass(frozen=True, slots=True)
class BackboneSetup:
    """Everything that patch tokens depend on.

    Attributes:
        backbone: The backbone, loaded.
        framing: How images are brought to its size.
        fp32_twin: Loads the same backbone in fp32 where `backbone` rounds; None where it does not.
    """

    backbone: PatchBackbone
    framing: Framing
    fp32_twin: backbones.Fp32Backbone | None = None


def parse_method_specs(text: str) -> list[str]:
    """Return the distinct specs of a comma-separated list; ``all`` stands for every registered detector.

    Raises:
        UnknownDetector: A spec's name is not registered.
    """
    specs: list[str] = []
    for spec in (part.strip() for part in text.split(",")):
        specs += registry.detector_names() if spec == ALL_METHODS else [spec]
    for spec in specs:
        registry.require_known(_name(spec))
    return list(dict.fromkeys(specs))


def parse_framing(name: str) -> Framing:
    """Return the framing of that name; hyphens count as underscores.

    Raises:
        EvaluationError: No framing has that name.
    """
    kind = name.replace("-", "_")
    for known in get_args(FramingKind):
        if known == kind:
            return Framing(known)
    raise EvaluationError(f"The framing {name!r} does not exist; choose one of {', '.join(get_args(FramingKind))}.")


def is_patch_method(spec: str) -> bool:
    """Return whether a spec names a method that compares the patches of any backbone."""
    return _name(spec) in registry.PATCH_METHODS


def load_backbone_setup(spec: str, framing: Framing, settings: ScorerSettings) -> BackboneSetup:
    """Load a backbone by its spec.

    Besides names of the registry, ``teacher:FILE.npz`` is one teacher of andon-tiny, ``teacher:FOLDER`` both, and
    ``teacher:FILE.npz:layer2+layer3`` two layers of ResNet-18.

    Raises:
        UnknownBackbone: The registry has no such backbone.
        ModelUnavailable: Its weights are missing or are not a teacher's.
    """
    device = resolve_device(settings.device)
    if not spec.startswith(TEACHER_PREFIX):
        settings = settings.model_copy(update={"backbone": spec})
        backbone = backbones.load(settings, device)
        return BackboneSetup(backbone, framing, backbones.fp32_twin(backbone, settings, device))
    path, _, layers = spec.removeprefix(TEACHER_PREFIX).partition(":")
    return BackboneSetup(load_teacher(Path(path), layers, device), framing)


def load_patch_detector(spec: str, dataset: str, setup: BackboneSetup, settings: ScorerSettings) -> PatchDetector:
    """Return the patch method of a spec on a backbone; `dataset` replaces the placeholder in its values.

    Raises:
        EvaluationError: The spec sets an unknown or invalid value.
    """
    values = _parse_values(spec, dataset)
    of_settings = {name: value for name, value in values.items() if name in ScorerSettings.model_fields}
    method_settings = _apply_settings(settings, spec, {"backbone": setup.backbone.name, **of_settings})
    method = registry.PATCH_METHODS[_name(spec)](method_settings)
    arguments = {name: value for name, value in values.items() if name not in of_settings}
    if arguments:
        method = _with_arguments(method, spec, arguments)
    return PatchDetector(method, setup.backbone, setup.framing, setup.fp32_twin)


def load_whole_image_detector(
    spec: str, dataset: str, clip: str | None, framing: Framing, settings: ScorerSettings
) -> Detector:
    """Return a detector that brings its own backbone, or that uses the towers of the CLIP named `clip`.

    Raises:
        EvaluationError: The spec sets an unknown or invalid value.
        ModelUnavailable: Its weights are missing.
        UnsupportedBackbone: The detector cannot use `clip`.
    """
    backbone = {} if clip is None else {"backbone": clip}
    return registry.load(_apply_settings(settings, spec, {**backbone, **_parse_values(spec, dataset)}), framing)


def _name(spec: str) -> str:
    return spec.partition(":")[0]


def _parse_values(spec: str, dataset: str) -> dict[str, str]:
    name, _, rest = spec.partition(":")
    pairs = [pair.partition("=") for pair in rest.split("+")] if rest else []
    if not all(equals for _, equals, _ in pairs):
        raise EvaluationError(f"{spec!r} is not a method spec; write for example {name}:coreset_patches=1024.")
    return {setting: value.replace(DATASET_PLACEHOLDER, dataset) for setting, _, value in pairs}


def _apply_settings(settings: ScorerSettings, spec: str, values: Mapping[str, str]) -> ScorerSettings:
    try:
        return ScorerSettings.model_validate({**settings.model_dump(), "detector": _name(spec), **values})
    except ValidationError as error:
        raise EvaluationError(f"{spec!r}: {error.errors()[0]['msg']}.") from error


def _with_arguments(method: PatchMethod, spec: str, values: Mapping[str, str]) -> PatchMethod:
    """Construct the method again with other arguments, each parsed as the type of its default."""
    types = {
        name: type(parameter.default)
        for name, parameter in signature(type(method)).parameters.items()
        if isinstance(parameter.default, int | float | str)
    }
    if unknown := [name for name in values if name not in types]:
        raise EvaluationError(
            f"{spec!r}: {unknown[0]} is neither a setting of the scorer nor an argument of {method.name}; its "
            f"arguments are {', '.join(types) or 'none'}."
        )
    try:
        return type(method)(**{name: types[name](value) for name, value in values.items()})
    except ValueError as error:
        raise EvaluationError(f"{spec!r}: {error}.") from error
