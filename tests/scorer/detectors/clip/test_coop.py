"""None"""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import torch as safetensors_torch

from imaging.rgb import RgbImage
from scorer.backbones.clip_loader import LoadedClip
from scorer.backbones.openclip import OpenClip
from scorer.backbones.weights.import_openclip import ImportOptions, import_file
from scorer.backbones.weights.store import StoredWeights, WeightsCard, WeightsStore
from scorer.detectors import registry
from scorer.detectors.clip.coop import Coop, CoopModel, load
from scorer.detectors.protocol import Detector, Scores
from scorer.detectors.whole_image import WholeImageDetector
from scorer.errors import InvalidNormalSet, InvalidWeights, ModelUnavailable, UnsupportedBackbone
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings
from scorer.training.coop.train import load_training_data, store_prompts, train_prompts
from scorer.training.coop.trainer import CoopTrainingConfig
from tests.scorer.backbones.tiny_clip import CONFIG, tiny_backbone, tiny_images
from tests.scorer.detectors.clip.coop_training import ignore_progress, training_class

CPU = torch.device("cpu")


pytestmark = pytest.mark.usefixtures("one_thread")


def images_of_several_shapes() -> list[RgbImage]:
    return [tiny_images(1, position, size)[0] for position, size in enumerate([(24, 32), (20, 90), (70, 30), (3, 200)])]


@pytest.fixture(scope="module")
def model(towers: OpenClip, learned_context: torch.Tensor) -> CoopModel:
    card = WeightsCard("openclip", "tiny", "ours", source="here", contents="tiny")
    return CoopModel(
        LoadedClip(towers, StoredWeights(Path("tiny.safetensors"), card, "towers", 0)),
        learned_context,
        "words",
        "of the words",
    )


@pytest.fixture(scope="module")
def detector(model: CoopModel) -> Detector:
    return WholeImageDetector(Coop(model), Framing())


def assert_close(batch: Scores, position: int, single: Scores) -> None:
    np.testing.assert_allclose(batch.image_scores[position], single.image_scores[0], atol=1e-5, rtol=0)
    np.testing.assert_allclose(batch.anomaly_maps[position], single.anomaly_maps[0], atol=1e-5, rtol=0)


def test_the_trained_prompts_separate_good_and_anomalous_images(detector: Detector) -> None:
    dark, light = ([image // 4 + 190 * side for image in tiny_images(8, 50 + side)] for side in (0, 1))
    references = detector.references(dark[:4], "bolt")
    assert np.median(detector.score(light, references).image_scores) > np.median(
        detector.score(dark[4:], references).image_scores
    )


def test_the_detector_has_name_weights_and_model_id(detector: Detector) -> None:
    assert (detector.name, detector.weights_sha256) == ("coop", "of the words")
    assert len(detector.model_id) == 64


@settings(max_examples=8, deadline=None)
@given(st.integers(2, 4), st.integers(0, 1000))
def test_batch_scores_equal_single_scores(detector: Detector, normals: int, seed: int) -> None:
    references = detector.references(tiny_images(normals, seed + 1), "bolt")
    queries = [*images_of_several_shapes(), *tiny_images(6, seed)]
    batch = detector.score(queries, references)
    for position, query in enumerate(queries):
        assert_close(batch, position, detector.score([query], references))
    features = detector.encode([detector.prepare(query) for query in queries]).take([3, 1])
    subset = detector.score_features(features, [references] * 2)
    for position, chosen in enumerate((3, 1)):
        assert_close(subset, position, detector.score([queries[chosen]], references))


def test_the_order_of_the_normals_does_not_matter(detector: Detector) -> None:
    normals = [*images_of_several_shapes(), *tiny_images(2, 9)]
    order = random.Random(3).sample(range(6), 6)
    initial, after = detector.references(normals, "bolt"), detector.references([normals[i] for i in order], "bolt")
    assert safetensors_torch.save(dict(initial.tensors)) == safetensors_torch.save(dict(after.tensors))
    assert after.normal_scores == tuple(initial.normal_scores[i] for i in order)


def test_the_anomaly_map_is_the_image_score_within_the_image(detector: Detector) -> None:
    wide = tiny_images(1, 2, (10, 90))
    cells = Framing().valid_mask(*wide[0].shape[:2], (24, 32), (3, 4))
    scores = detector.score(wide, detector.references(tiny_images(2, 1), "bolt"))
    np.testing.assert_array_equal(
        scores.anomaly_maps[0], np.where(cells, float(scores.image_scores[0]), 0).astype(np.float32)
    )
    assert 0 < cells.sum() < cells.size


@pytest.mark.parametrize("count", [0, 1, 65])
def test_too_few_and_too_many_normals_are_refused(detector: Detector, count: int) -> None:
    with pytest.raises(InvalidNormalSet, match=rf"2 to 64.*\b{count}\b"):
        detector.references(tiny_images(1, 1) * count, "bolt")


def test_tiles_are_refused_with_the_supported_framings(model: CoopModel) -> None:
    with pytest.raises(InvalidNormalSet, match=r"tiles_3.*letterbox, stretch or centre_crop"):
        WholeImageDetector(Coop(model), Framing("tiles_3")).references(tiny_images(2, 1), "bolt")


@pytest.fixture
def store(tmp_path: Path) -> WeightsStore:
    store = WeightsStore(tmp_path / "weights")
    torch.save(dict(tiny_backbone().network.state_dict()), tmp_path / "fetched.pt")
    import_file(store, tmp_path / "fetched.pt", ImportOptions("tiny", "ours", CONFIG))
    return store


def settings_for(store: WeightsStore, backbone: str = "openclip/tiny", prompts: str = "") -> ScorerSettings:
    return ScorerSettings(
        engine="torch",
        detector="coop",
        backbone=backbone,
        coop_prompts=prompts,
        device="cpu",
        weights_path=store.path,
        precision="fp32",
    )


def test_trained_prompts_are_stored_listed_and_loaded(
    store: WeightsStore, detector: Detector, learned_context: torch.Tensor
) -> None:
    prompts = store_prompts(store, store.tower("tiny"), "bolts", learned_context, ["elpv", "aliens", "elpv"])
    assert (prompts.card.name, prompts.card.kind, prompts.card.source) == ("coop:bolts", "coop-prompts", "aliens, elpv")
    assert prompts.card.backbone == "tiny:ours"
    assert [weights.card.name for weights in store.list_all()] == ["coop:bolts", "tiny:ours"]
    loaded = registry.load(settings_for(store), Framing())
    assert loaded.weights_sha256 == prompts.sha256
    normals, queries = tiny_images(2, 1), tiny_images(3, 2)
    expected = detector.score(queries, detector.references(normals, "bolt")).image_scores
    np.testing.assert_allclose(loaded.score(queries, loaded.references(normals, "bolt")).image_scores, expected)
    stretched = WholeImageDetector(load(settings_for(store, prompts="bolts")), Framing("stretch"))
    assert stretched.method.model is loaded.method.model  # type: ignore[attr-defined]


def test_training_uses_the_stored_clip_and_stores_the_prompts(store: WeightsStore) -> None:
    encoded_counts: list[int] = []
    steps: list[int] = []
    classes = [training_class("bolt", 1), training_class("metal_nut", 5)]
    config = CoopTrainingConfig(context_tokens=4, steps=5)
    data = load_training_data(settings_for(store), Framing(), classes, encoded_counts.append)
    prompts = train_prompts(data, config, "bolts", store, lambda step, _: steps.append(step))
    assert (prompts.card.name, prompts.card.backbone, prompts.card.source) == ("coop:bolts", "tiny:ours", "made")
    assert (encoded_counts[-1], steps) == (24, [1, 2, 3, 4, 5])
    assert registry.load(settings_for(store), Framing()).weights_sha256 == prompts.sha256
    with pytest.raises(UnsupportedBackbone, match=r"coop.*andon-tiny"):
        load_training_data(settings_for(store, "andon-tiny"), Framing(), classes, ignore_progress)
    with pytest.raises(InvalidWeights, match=r"'\.\./bolts'"):
        train_prompts(data, config, "../bolts", store, ignore_progress)
    assert not list(store.path.rglob("*.checkpoint"))


def test_missing_prompts_name_the_training_command(store: WeightsStore, learned_context: torch.Tensor) -> None:
    with pytest.raises(ModelUnavailable, match=r"tiny:ours.*andon train coop"):
        registry.load(settings_for(store), Framing())
    for tag in ("bolts", "nuts"):
        store_prompts(store, store.tower("tiny"), tag, learned_context, [])
    with pytest.raises(ModelUnavailable, match=r"coop:bolts, coop:nuts.*scorer\.coop_prompts"):
        registry.load(settings_for(store), Framing())
    with pytest.raises(ModelUnavailable, match=r"pins.*coop:bolts, coop:nuts"):
        registry.load(settings_for(store, prompts="pins"), Framing())


def test_a_backbone_without_a_text_tower_is_refused(store: WeightsStore) -> None:
    with pytest.raises(UnsupportedBackbone, match=r"coop.*andon-tiny.*scorer\.backbone"):
        registry.load(settings_for(store, "andon-tiny"), Framing())


def test_prompts_of_another_width_or_kind_are_refused(store: WeightsStore, learned_context: torch.Tensor) -> None:
    store_prompts(store, store.tower("tiny"), "bolts", torch.zeros(1, 4, 20), [])
    with pytest.raises(InvalidWeights, match=r"1×4×20.*16"):
        registry.load(settings_for(store), Framing())
    prompts = store_prompts(store, store.tower("tiny"), "bolts", learned_context, [])
    store.put(prompts.card, {"ctx": learned_context})
    with pytest.raises(InvalidWeights, match="ctx"):
        registry.load(settings_for(store), Framing())


def test_a_truncated_file_is_refused(store: WeightsStore, learned_context: torch.Tensor) -> None:
    prompts = store_prompts(store, store.tower("tiny"), "bolts", learned_context, [])
    prompts.path.write_bytes(prompts.path.read_bytes()[:-5])
    with pytest.raises(InvalidWeights, match=r"coop\.bolts\.safetensors"):
        registry.load(settings_for(store), Framing())
