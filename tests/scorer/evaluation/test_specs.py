import pytest

from scorer.detectors import registry
from scorer.errors import UnknownBackbone, UnknownDetector
from scorer.evaluation.errors import EvaluationError
from scorer.evaluation.specs import (
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
def ground():
    return load_backbone_setup("filterbank", Framing(), SETTINGS)


def test_all_stands_for_every_detector_there_is_and_none_comes_twice():
    assert parse_method_specs("all") == registry.detector_names()
    assert parse_method_specs("nearest-patch, all").count("nearest-patch") == 1
    with pytest.raises(UnknownDetector, match="patchcoat"):
        parse_method_specs("nearest-patch,patchcoat")


def test_a_word_changes_what_a_method_is_made_with_and_so_its_model_id(ground):
    plain = load_patch_detector("patchcore", "elpv", ground, SETTINGS)
    half = load_patch_detector("patchcore:kept_share=0.5+coreset_patches=9", "elpv", ground, SETTINGS)
    assert half.method.configuration["kept_share"] == 0.5
    assert half.model_id != plain.model_id
    assert load_patch_detector("patchcore:kept_share=0.1", "elpv", ground, SETTINGS).model_id == plain.model_id


def test_the_dataset_s_name_can_stand_in_a_setting(tmp_path):
    settings = SETTINGS.model_copy(update={"weights_path": tmp_path})
    with pytest.raises(Exception, match="without-elpv"):
        load_whole_image_detector("inctrl:inctrl_heads=without-{dataset}", "elpv", None, Framing(), settings)


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("patchcore:kept_share", "write patchcore:coreset_patches=1024, say"),
        ("patchcore:kept=1", "kept is neither a setting of the scorer nor an argument of patchcore.*kept_share"),
        ("patchcore:kept_share=many", "could not convert"),
        ("patchcore:coreset_patches=0", "greater than or equal to 2"),
    ],
)
def test_a_word_that_sets_nothing_is_refused(ground, word, complaint):
    with pytest.raises(EvaluationError, match=complaint):
        load_patch_detector(word, "elpv", ground, SETTINGS)


def test_framings_and_backbones_are_known_by_name():
    assert parse_framing("centre-crop") == Framing("centre_crop")
    with pytest.raises(EvaluationError, match="no framing 'squeeze'"):
        parse_framing("squeeze")
    with pytest.raises(UnknownBackbone, match="no backbone 'andon-huge'"):
        load_backbone_setup("andon-huge", Framing(), SETTINGS)
