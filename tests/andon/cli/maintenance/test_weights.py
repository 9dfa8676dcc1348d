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


def test_an_official_checkpoint_is_imported_as_towers_and_heads(andon: Andon, official: Path) -> None:
    finished = andon("weights", "import", official, "--model", "tiny", "--config", "tiny.json")
    assert finished.code == 0, finished.err
    assert [line.split()[0] for line in finished.out.splitlines()] == ["tiny:four-shot", "inctrl:four-shot"]
    listed = json.loads(andon("weights", "list", "--json").out)
    assert [(weights["name"], weights["kind"], weights["backbone"], weights["source"]) for weights in listed] == [
        ("inctrl:four-shot", "inctrl-heads", "tiny:four-shot", "four-shot.pyth"),
        ("tiny:four-shot", "openclip", None, "four-shot.pyth"),
    ]
    assert all(Path(weights["file"]).stat().st_size == weights["size_bytes"] for weights in listed)
    table = andon("weights", "list").out
    assert "inctrl:four-shot" in table
    assert listed[0]["sha256"][:12] in table


def test_a_timm_transformer_is_imported_and_listed_by_its_name(andon: Andon, workplace: Path) -> None:
    save_file(dict(create_model("test_vit").state_dict()), workplace / "model.safetensors")
    finished = andon("weights", "import", "model.safetensors", "--timm", "test_vit.r160_in1k")
    assert finished.code == 0, finished.err
    assert finished.out.split()[0] == "timm/test_vit.r160_in1k"
    (listed,) = json.loads(andon("weights", "list", "--json").out)
    assert (listed["name"], listed["kind"]) == ("timm/test_vit.r160_in1k", "timm")
    assert len(listed["sha256"]) == 64
    finished = andon("weights", "import", "model.safetensors", "--timm", "test_vit3")
    assert finished.code == 1
    assert all(named in finished.err for named in ("model.safetensors", "test_vit3"))
    assert len(finished.err.splitlines()) == 1


def test_an_unknown_timm_model_is_refused_with_similar_names(andon: Andon) -> None:
    finished = andon("weights", "fetch", "timm/vit_smaall")
    assert finished.code == 1
    assert "vit_smaall" in finished.err


def test_an_empty_weights_folder_names_the_fetch_command(andon: Andon) -> None:
    assert json.loads(andon("weights", "list", "--json").out) == []
    assert "andon weights fetch" in andon("weights", "list").err


def test_a_checkpoint_that_does_not_fit_is_refused_and_stores_nothing(andon: Andon, official: Path) -> None:
    finished = andon("weights", "import", official)
    assert finished.code == 1
    assert all(named in finished.err for named in ("four-shot.pyth", "ViT-B-16-plus-240"))
    assert len(finished.err.splitlines()) == 1
    assert not (official.parent / ".andon" / "weights").exists()


def test_an_invalid_configuration_is_refused(andon: Andon, official: Path) -> None:
    (official.parent / "tiny.json").write_text('{"embed_dim": 16}')
    finished = andon("weights", "import", official, "--model", "tiny", "--config", "tiny.json")
    assert finished.code == 1
    assert all(named in finished.err for named in ("tiny.json", "embed_dim, vision_cfg and text_cfg"))


def test_an_unknown_openclip_tag_is_refused_with_the_known_ones(andon: Andon) -> None:
    finished = andon("weights", "fetch", "ViT-B-16-plus-240:laion5b")
    assert finished.code == 1
    assert "laion400m_e31, laion400m_e32" in finished.err
