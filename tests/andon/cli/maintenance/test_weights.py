import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from timm import create_model

from testing.command_line import Andon
from tests.scorer.backbones.tiny_clip import CONFIG, tiny_backbone, tiny_heads


@pytest.fixture
def official(workplace: Path) -> Path:
    """An official InCTRL checkpoint of a tiny CLIP, with its configuration beside it."""
    (workplace / "tiny.json").write_text(json.dumps(CONFIG))
    torch.save({**tiny_backbone().network.state_dict(), **tiny_heads().state_dict()}, workplace / "four-shot.pyth")
    return workplace / "four-shot.pyth"


def test_an_official_checkpoint_is_imported_and_listed_as_towers_and_heads(andon: Andon, official: Path) -> None:
    done = andon("weights", "import", official, "--model", "tiny", "--config", "tiny.json")
    assert done.code == 0, done.err
    assert [line.split()[0] for line in done.out.splitlines()] == ["tiny:four-shot", "inctrl:four-shot"]
    listed = json.loads(andon("weights", "list", "--json").out)
    assert [(one["name"], one["kind"], one["backbone"], one["source"]) for one in listed] == [
        ("inctrl:four-shot", "inctrl-heads", "tiny:four-shot", "four-shot.pyth"),
        ("tiny:four-shot", "openclip", None, "four-shot.pyth"),
    ]
    assert all(Path(one["file"]).stat().st_size == one["size_bytes"] for one in listed)
    table = andon("weights", "list").out
    assert "inctrl:four-shot" in table
    assert listed[0]["sha256"][:12] in table


def test_a_timm_transformer_is_imported_by_its_name_and_listed_as_the_backbone_it_is(
    andon: Andon, workplace: Path
) -> None:
    save_file(dict(create_model("test_vit").state_dict()), workplace / "model.safetensors")
    done = andon("weights", "import", "model.safetensors", "--timm", "test_vit.r160_in1k")
    assert done.code == 0, done.err
    assert done.out.split()[0] == "timm/test_vit.r160_in1k"
    (listed,) = json.loads(andon("weights", "list", "--json").out)
    assert (listed["name"], listed["kind"]) == ("timm/test_vit.r160_in1k", "timm")
    assert len(listed["sha256"]) == 64
    done = andon("weights", "import", "model.safetensors", "--timm", "test_vit3")
    assert done.code == 1
    assert "model.safetensors as timm's test_vit3 does not fit the model; " in done.err
    assert len(done.err.splitlines()) == 1


def test_a_transformer_timm_does_not_know_is_told_with_some_it_knows(andon: Andon) -> None:
    done = andon("weights", "fetch", "timm/vit_smaall")
    assert done.code == 1
    assert "timm knows no model vit_smaall; it has vit_" in done.err


def test_an_empty_folder_says_how_to_get_weights(andon: Andon) -> None:
    assert json.loads(andon("weights", "list", "--json").out) == []
    assert andon("weights", "list").err == "There are no weights yet; get InCTRL's: andon weights fetch\n"


def test_a_checkpoint_that_does_not_fit_is_one_sentence_and_leaves_nothing(andon: Andon, official: Path) -> None:
    done = andon("weights", "import", official)
    assert done.code == 1
    assert "four-shot.pyth as ViT-B-16-plus-240 does not fit the model; missing: " in done.err
    assert len(done.err.splitlines()) == 1
    assert not (official.parent / ".andon" / "weights").exists()


def test_a_configuration_that_is_none_is_refused(andon: Andon, official: Path) -> None:
    (official.parent / "tiny.json").write_text('{"embed_dim": 16}')
    done = andon("weights", "import", official, "--model", "tiny", "--config", "tiny.json")
    assert done.code == 1
    assert "tiny.json is no OpenCLIP configuration; it needs embed_dim, vision_cfg and text_cfg." in done.err


def test_a_tag_that_openclip_does_not_know_is_told_with_those_it_knows(andon: Andon) -> None:
    done = andon("weights", "fetch", "ViT-B-16-plus-240:laion5b")
    assert done.code == 1
    assert "it has laion400m_e31, laion400m_e32" in done.err
