"""WinCLIP loads on a stored CLIP, and names what is missing."""

from pathlib import Path

import pytest
import torch

from scorer.backbones.weights.import_openclip import ImportOptions, import_file
from scorer.backbones.weights.store import WeightsCard, WeightsStore, content_hash
from scorer.detectors import registry
from scorer.detectors.clip import winclip
from scorer.detectors.clip.winclip import load
from scorer.detectors.whole_image import WholeImageDetector
from scorer.errors import InvalidWeights, ModelUnavailable, UnsupportedBackbone
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings
from tests.scorer.backbones.tiny_clip import CONFIG, tiny_backbone, tiny_images

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def store(tmp_path: Path) -> WeightsStore:
    store = WeightsStore(tmp_path / "weights")
    torch.save(dict(tiny_backbone().network.state_dict()), tmp_path / "fetched.pt")
    import_file(store, tmp_path / "fetched.pt", ImportOptions("tiny", "ours", CONFIG))
    return store


def settings_for(store: WeightsStore, backbone: str = "openclip/tiny") -> ScorerSettings:
    return ScorerSettings(
        engine="torch", detector="winclip", backbone=backbone, device="cpu", weights_path=store.path, precision="fp32"
    )


@pytest.mark.parametrize("backbone", ["openclip/tiny", "openclip/tiny:ours"])
def test_winclip_loads_on_a_stored_clip(store: WeightsStore, backbone: str) -> None:
    detector = registry.load(settings_for(store, backbone), Framing())
    assert detector.weights_sha256 == store.tower("tiny:ours").sha256
    scores = detector.score(tiny_images(1, 2), detector.references(tiny_images(2, 1), "bolt"))
    assert 0 <= float(scores.image_scores[0]) <= 1
    assert scores.anomaly_maps.shape == (1, 3, 4)


def test_references_in_bf16_equal_those_in_fp32(store: WeightsStore) -> None:
    exact, rounded = (
        registry.load(
            settings_for(store).model_copy(update={"detector": "nearest-patch", "precision": precision}), Framing()
        )
        for precision in ("fp32", "bf16")
    )
    first, second = (each.references(tiny_images(3, 1), "bolt").tensors for each in (exact, rounded))
    assert all(torch.equal(first[name].to(second[name].dtype), second[name]) for name in first)
    assert exact.model_id != rounded.model_id


def test_detectors_of_several_framings_share_one_model(store: WeightsStore) -> None:
    first, second = load(settings_for(store)), load(settings_for(store))
    assert first.model is second.model
    stretched, boxed = WholeImageDetector(first, Framing("stretch")), WholeImageDetector(second, Framing("letterbox"))
    assert stretched.model_id != boxed.model_id
    del first, second, stretched, boxed
    assert len(winclip._models) == 0


@pytest.mark.parametrize("backbone", ["andon-tiny", "timm/vit_small_patch14_dinov2.lvd142m"])
def test_a_backbone_without_a_text_tower_is_refused(store: WeightsStore, backbone: str) -> None:
    with pytest.raises(UnsupportedBackbone) as caught:
        registry.load(settings_for(store, backbone), Framing())
    assert str(caught.value) == (
        f"The detector winclip compares images with texts, and the backbone {backbone} has no text tower; set "
        "scorer.backbone to a CLIP that andon weights list shows, such as openclip/ViT-B-16-plus-240."
    )


def test_a_missing_clip_names_the_fetch_command(store: WeightsStore) -> None:
    with pytest.raises(ModelUnavailable, match="andon weights fetch ViT-B-16-plus-240"):
        registry.load(settings_for(store, "openclip/ViT-B-16-plus-240"), Framing())


def test_a_tag_must_be_named_when_there_are_several(store: WeightsStore) -> None:
    tower = store.tower("tiny")
    tensors = store.tensors(tower)
    store.put(
        WeightsCard("openclip", "tiny", "theirs", "here", content_hash(tensors), CONFIG, (0.5,) * 3, (0.5,) * 3),
        tensors,
    )
    with pytest.raises(ModelUnavailable, match="tiny:ours, tiny:theirs"):
        registry.load(settings_for(store), Framing())


def test_weights_of_another_width_and_a_truncated_file_are_refused(store: WeightsStore) -> None:
    tower = store.tower("tiny")
    tensors = store.tensors(tower)
    store.put(tower.card, {**tensors, "visual.proj": torch.zeros(24, 3)})
    with pytest.raises(InvalidWeights, match=r"visual\.proj.*24×3.*24×16"):
        registry.load(settings_for(store), Framing())
    content = bytearray(tower.path.read_bytes())
    tower.path.write_bytes(content[:-1])
    with pytest.raises(InvalidWeights):
        registry.load(settings_for(store), Framing())


def test_the_image_tower_of_a_stored_clip_is_a_patch_backbone(store: WeightsStore) -> None:
    scorer_settings = ScorerSettings(
        engine="torch",
        detector="nearest-patch",
        backbone="openclip/tiny",
        backbone_blocks="4",
        device="cpu",
        weights_path=store.path,
        precision="fp32",
    )
    detector = registry.load(scorer_settings, Framing())
    assert detector.weights_sha256 == store.tower("tiny").sha256
    references = detector.references(tiny_images(2, 1), "bolt")
    rows, normals, columns, width = references.tensors["layer 0"].shape
    assert "layer 1" not in references.tensors  # one block
    assert (normals, columns, width) == (2, 4, 24)
    assert int(references.tensors["valid_mask"].any(dim=2).any(dim=1).sum()) == 3 <= rows
