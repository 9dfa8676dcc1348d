from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import torch as safetensors_torch

from scorer.backbones.weights.import_openclip import ImportOptions, import_file
from scorer.backbones.weights.store import WeightsStore
from scorer.detectors import registry
from scorer.detectors.inctrl.method import InCtrl, load
from scorer.detectors.inctrl.model import InCtrlModel
from scorer.detectors.protocol import Detector
from scorer.detectors.whole_image import WholeImageDetector
from scorer.errors import InvalidNormalSet, InvalidWeights, ModelUnavailable
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings
from tests.scorer.backbones.tiny_clip import (
    CONFIG,
    PATCHES,
    tiny_backbone,
    tiny_heads,
    tiny_images,
    tiny_inctrl,
    tiny_pixels,
)

CPU = torch.device("cpu")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model() -> InCtrlModel:
    return tiny_inctrl()


@pytest.fixture(scope="module")
def detector(model: InCtrlModel) -> Detector:
    return WholeImageDetector(InCtrl(model), Framing("centre_crop"))


def concatenated(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts)


def test_the_detector_has_name_weights_and_model_id(detector: Detector) -> None:
    assert (detector.name, detector.weights_sha256) == ("inctrl", "of the heads")
    assert len(detector.model_id) == 64


def test_detector_scores_equal_model_scores_for_images_of_the_towers_size(
    model: InCtrlModel, detector: Detector
) -> None:
    normals, queries = tiny_pixels(4, seed=1), tiny_pixels(3, seed=2)
    expected = model.score(model.encode(queries), model.context(model.encode(normals), "bolt"))
    scores = detector.score(tiny_images(3, seed=2), detector.references(tiny_images(4, seed=1), "bolt"))
    np.testing.assert_allclose(scores.image_scores, expected.score, atol=1e-6, rtol=0)
    np.testing.assert_allclose(scores.anomaly_maps.reshape(3, -1), expected.patch_residual_map, atol=1e-6, rtol=0)
    assert scores.anomaly_maps.shape == (3, 3, 4)
    half = (scores.components["holistic"] + scores.components["largest patch residual"]) / 2
    np.testing.assert_allclose(scores.image_scores, half)


@settings(max_examples=8, deadline=None)
@given(st.sampled_from([1, 2, 9]), st.integers(2, 4), st.integers(0, 1000))
def test_batch_scores_equal_single_scores(detector: Detector, batch: int, normals: int, seed: int) -> None:
    references = detector.references(tiny_images(normals, seed + 1), "bolt")
    queries = tiny_images(batch, seed)
    unreduced, singles = (
        detector.score(queries, references),
        [detector.score([single], references) for single in queries],
    )
    np.testing.assert_allclose(
        unreduced.image_scores, concatenated([single.image_scores for single in singles]), atol=1e-5, rtol=0
    )
    np.testing.assert_allclose(
        unreduced.anomaly_maps, concatenated([single.anomaly_maps for single in singles]), atol=1e-5, rtol=0
    )
    for name, values in unreduced.components.items():
        np.testing.assert_allclose(
            values, concatenated([single.components[name] for single in singles]), atol=1e-5, rtol=0
        )


@settings(max_examples=8, deadline=None)
@given(st.permutations(range(5)), st.sampled_from([24, 4096]))
def test_the_order_of_the_normals_does_not_matter(model: InCtrlModel, order: list[int], coreset_patches: int) -> None:
    detector = WholeImageDetector(InCtrl(model, coreset_patches), Framing())
    normals = tiny_images(5, seed=1)
    before, after = detector.references(normals, "bolt"), detector.references([normals[i] for i in order], "bolt")
    assert safetensors_torch.save(dict(before.tensors)) == safetensors_torch.save(dict(after.tensors))
    assert after.normal_scores == tuple(before.normal_scores[i] for i in order)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_leave_one_out_scores_equal_scores_against_the_other_normals(detector: Detector, count: int) -> None:
    normals = tiny_images(count + 1, seed=1)
    for left_out, score in enumerate(detector.references(normals, "bolt").normal_scores):
        others = detector.references(
            [normal for position, normal in enumerate(normals) if position != left_out], "bolt"
        )
        assert float(detector.score([normals[left_out]], others).image_scores[0]) == pytest.approx(score, abs=1e-5)


def test_two_normals_score_against_one_another(model: InCtrlModel, detector: Detector) -> None:
    first, second = tiny_pixels(2, seed=1)
    expected = [
        float(model.score(model.encode(query[None]), model.context(model.encode(normal[None]), "bolt")).score)
        for query, normal in ((first, second), (second, first))
    ]
    assert detector.references(tiny_images(2, seed=1), "bolt").normal_scores == pytest.approx(expected, abs=1e-5)


def test_a_coreset_limits_the_references_and_only_increases_scores(model: InCtrlModel) -> None:
    unreduced = WholeImageDetector(InCtrl(model), Framing())
    reduced = WholeImageDetector(InCtrl(model, 40), Framing())
    normals, queries = tiny_images(6, seed=1), tiny_images(3, seed=2)
    references = reduced.references(normals, "bolt")
    assert references.tensors["patches"].shape == (3, 40, 24)
    assert unreduced.references(normals, "bolt").tensors["patches"].shape == (3, 6 * PATCHES, 24)
    assert bool(
        (
            reduced.score(queries, references).anomaly_maps
            >= unreduced.score(queries, unreduced.references(normals, "bolt")).anomaly_maps - 1e-6
        ).all()
    )
    assert all(np.isfinite(references.normal_scores))


def test_references_survive_serialisation(detector: Detector) -> None:
    references = detector.references(tiny_images(3, seed=1), "bolt")
    again = type(references)(
        references.model_id,
        safetensors_torch.load(safetensors_torch.save(dict(references.tensors))),
        references.normal_scores,
    )
    queries = tiny_images(2, seed=2)
    assert np.array_equal(detector.score(queries, again).image_scores, detector.score(queries, references).image_scores)


def test_the_object_name_changes_the_scores(detector: Detector) -> None:
    normals = tiny_images(2, seed=1)
    assert detector.references(normals, "bolt").normal_scores != detector.references(normals, "cat").normal_scores


@pytest.mark.parametrize("count", [0, 1, 10_000])
def test_too_few_and_too_many_normals_are_refused(detector: Detector, count: int) -> None:
    with pytest.raises(InvalidNormalSet, match=f"2 to 64.*{count}"):
        detector.references(tiny_images(1, seed=1) * count, "bolt")


def test_normals_of_mixed_sizes_are_accepted(detector: Detector) -> None:
    grey = np.repeat(np.full((90, 40, 1), 128, np.uint8), 3, axis=2)
    references = detector.references(
        [*tiny_images(1, seed=1, size=(200, 30)), grey, *tiny_images(1, seed=2, size=(9, 9))], "bolt"
    )
    assert all(np.isfinite(references.normal_scores))


def test_the_model_id_depends_on_everything_that_changes_scores(model: InCtrlModel) -> None:
    ids = {
        WholeImageDetector(
            InCtrl(InCtrlModel(model.backbone, model.heads, blocks, contents), coreset_patches), framing
        ).model_id
        for blocks in ((1, 3, 4), (2, 3, 4))
        for contents in ("a", "b")
        for framing in (Framing("letterbox"), Framing("stretch"))
        for coreset_patches in (100, 200)
    }
    assert len(ids) == 16


@pytest.fixture
def store(tmp_path: Path) -> WeightsStore:
    store = WeightsStore(tmp_path / "weights")
    state = {**tiny_backbone().network.state_dict(), **tiny_heads().state_dict()}
    torch.save(state, tmp_path / "four-shot.pyth")
    import_file(store, tmp_path / "four-shot.pyth", ImportOptions("tiny", None, CONFIG))
    return store


def settings_for(store: WeightsStore, heads: str = "") -> ScorerSettings:
    return ScorerSettings(
        engine="torch", detector="inctrl", device="cpu", weights_path=store.path, inctrl_heads=heads, precision="fp32"
    )


def test_an_imported_official_checkpoint_loads_by_detector_name(store: WeightsStore) -> None:
    detector = registry.load(settings_for(store), Framing())
    assert detector.name == "inctrl"
    assert detector.weights_sha256 == store.heads("four-shot").sha256
    scores = detector.score(tiny_images(1, seed=2), detector.references(tiny_images(2, seed=1), "bolt"))
    assert 0 <= float(scores.image_scores[0]) <= 1


def test_auto_is_inctrl_where_its_weights_are_stored_and_nearest_patch_otherwise(
    store: WeightsStore, tmp_path: Path
) -> None:
    scorer_settings = settings_for(store).model_copy(update={"detector": "auto"})
    assert registry.resolve_name(scorer_settings) == "inctrl"
    assert registry.load(scorer_settings, Framing()).name == "inctrl"
    assert (
        registry.resolve_name(scorer_settings.model_copy(update={"weights_path": tmp_path / "nothing"}))
        == "nearest-patch"
    )
    assert registry.resolve_name(scorer_settings.model_copy(update={"inctrl_heads": "another"})) == "nearest-patch"
    store.tower("tiny").path.unlink()
    assert registry.resolve_name(scorer_settings) == "nearest-patch"


def test_detectors_of_several_framings_share_one_model(store: WeightsStore) -> None:
    first, second = load(settings_for(store)), load(settings_for(store))
    assert first.model is second.model
    ids = {WholeImageDetector(first, Framing(kind)).model_id for kind in ("stretch", "letterbox")}
    assert len(ids) == 2


def test_a_coreset_smaller_than_two_normals_is_refused(model: InCtrlModel) -> None:
    with pytest.raises(ModelUnavailable, match=r"scorer\.coreset_patches is 23.*24"):
        WholeImageDetector(InCtrl(model, 23), Framing())


def test_heads_without_their_towers_are_refused(store: WeightsStore) -> None:
    store.tower("tiny:four-shot").path.unlink()
    with pytest.raises(ModelUnavailable, match="tiny:four-shot"):
        load(settings_for(store))


def test_heads_of_another_width_are_refused_with_both_widths(store: WeightsStore) -> None:
    heads = store.heads()
    store.put(heads.card, tiny_heads(width=20).state_dict())
    with pytest.raises(InvalidWeights, match=r"adapter\.fc\.0\.weight.*5×20.*4×16"):
        load(settings_for(store))
