"""Method specs, framings and backbone specs are parsed, or refused with the name of what is wrong."""

from pathlib import Path

import pytest

from scorer.detectors import registry
from scorer.errors import ModelUnavailable, UnknownBackbone, UnknownDetector
from scorer.evaluation.errors import EvaluationError
from scorer.evaluation.specs import (
    BackboneSetup,
    load_backbone_setup,
    load_patch_detector,
    load_whole_image_detector,
    parse_framing,
    parse_method_specs,
)
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings

SETTINGS = ScorerSettings(device="cpu", engine="torch")


@pytest.fixture(scope="module")
def setup() -> BackboneSetup:
    return load_backbone_setup("filterbank", Framing(), SETTINGS)


def test_all_stands_for_every_detector_without_repeats() -> None:
    assert parse_method_specs("all") == registry.detector_names()
    assert parse_method_specs("nearest-patch, all").count("nearest-patch") == 1
    with pytest.raises(UnknownDetector, match="patchcoat"):
        parse_method_specs("nearest-patch,patchcoat")


def test_a_spec_changes_the_method_and_its_model_id(setup: BackboneSetup) -> None:
    plain = load_patch_detector("patchcore", "elpv", setup, SETTINGS)
    half = load_patch_detector("patchcore:coreset_ratio=0.5+coreset_patches=9", "elpv", setup, SETTINGS)
    assert half.method.configuration["coreset_ratio"] == 0.5
    assert half.model_id != plain.model_id
    assert load_patch_detector("patchcore:coreset_ratio=0.1", "elpv", setup, SETTINGS).model_id == plain.model_id


def test_the_dataset_name_replaces_the_placeholder_in_a_setting(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"weights_path": tmp_path})
    with pytest.raises(ModelUnavailable, match="without-elpv"):
        load_whole_image_detector("inctrl:inctrl_heads=without-{dataset}", "elpv", None, Framing(), settings)


@pytest.mark.parametrize(
    "spec",
    ["patchcore:coreset_ratio", "patchcore:coreset=1", "patchcore:coreset_ratio=many", "patchcore:coreset_patches=0"],
)
def test_an_invalid_spec_is_refused_by_name(setup: BackboneSetup, spec: str) -> None:
    with pytest.raises(EvaluationError, match=spec):
        load_patch_detector(spec, "elpv", setup, SETTINGS)


def test_framings_and_backbones_are_found_by_name() -> None:
    assert parse_framing("centre-crop") == Framing("centre_crop")
    with pytest.raises(EvaluationError, match="squeeze"):
        parse_framing("squeeze")
    with pytest.raises(UnknownBackbone, match="andon-huge"):
        load_backbone_setup("andon-huge", Framing(), SETTINGS)
    with pytest.raises(ModelUnavailable, match=r"nothing\.npz"):
        load_backbone_setup("teacher:nothing.npz", Framing(), SETTINGS)
