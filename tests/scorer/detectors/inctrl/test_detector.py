from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import torch as safetensors_torch

from imaging.rgb import RgbImage
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
from tests.scorer.backbones.tiny_clip import CONFIG, PATCHES, tiny_backbone, tiny_heads, tiny_inctrl, tiny_pixels

CPU = torch.device("cpu")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model() -> InCtrlModel:
    return tiny_inctrl()


@pytest.fixture(scope="module")
def detector(model: InCtrlModel) -> Detector:
    return WholeImageDetector(InCtrl(model), Framing("centre_crop"))


def random_images(count: int, seed: int, size: tuple[int, int] = (24, 32)) -> list[RgbImage]:
    return list(tiny_pixels(count, seed, size).permute(0, 2, 3, 1).numpy())


def joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts)


def test_it_is_a_detector(detector: Detector) -> None:
    assert (detector.name, detector.weights_sha256) == ("inctrl", "of the heads")
    assert len(detector.model_id) == 64


def test_images_at_the_towers_size_score_as_the_model_reads_them(model: InCtrlModel, detector: Detector) -> None:
    normals, queries = tiny_pixels(4, seed=1), tiny_pixels(3, seed=2)
    reading = model.score(model.encode(queries), model.context(model.encode(normals), "bolt"))
    scores = detector.score(random_images(3, seed=2), detector.references(random_images(4, seed=1), "bolt"))
    np.testing.assert_allclose(scores.image_scores, reading.score, atol=1e-6, rtol=0)
    np.testing.assert_allclose(scores.anomaly_maps.reshape(3, -1), reading.patch_residual_map, atol=1e-6, rtol=0)
    assert scores.anomaly_maps.shape == (3, 3, 4)
    half = (scores.components["holistic"] + scores.components["largest patch residual"]) / 2
    np.testing.assert_allclose(scores.image_scores, half)


@settings(max_examples=8, deadline=None)
@given(st.sampled_from([1, 2, 9]), st.integers(2, 4), st.integers(0, 1000))
def test_a_batch_scores_as_its_images_do_one_by_one(detector: Detector, batch: int, normals: int, seed: int) -> None:
    references = detector.references(random_images(normals, seed + 1), "bolt")
    queries = random_images(batch, seed)
    whole, singles = detector.score(queries, references), [detector.score([single], references) for single in queries]
    np.testing.assert_allclose(
        whole.image_scores, joined([single.image_scores for single in singles]), atol=1e-5, rtol=0
    )
    np.testing.assert_allclose(
        whole.anomaly_maps, joined([single.anomaly_maps for single in singles]), atol=1e-5, rtol=0
    )
    for name, values in whole.components.items():
        np.testing.assert_allclose(values, joined([single.components[name] for single in singles]), atol=1e-5, rtol=0)


@settings(max_examples=8, deadline=None)
@given(st.permutations(range(5)), st.sampled_from([24, 4096]))
def test_the_order_of_the_normals_does_not_matter(model: InCtrlModel, order: list[int], coreset_patches: int) -> None:
    detector = WholeImageDetector(InCtrl(model, coreset_patches), Framing())
    normals = random_images(5, seed=1)
    before, after = detector.references(normals, "bolt"), detector.references([normals[i] for i in order], "bolt")
    assert safetensors_torch.save(dict(before.tensors)) == safetensors_torch.save(dict(after.tensors))
    assert after.normal_scores == tuple(before.normal_scores[i] for i in order)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_each_normal_scores_as_it_would_against_references_of_the_others(detector: Detector, count: int) -> None:
    normals = random_images(count + 1, seed=1)
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
    assert detector.references(random_images(2, seed=1), "bolt").normal_scores == pytest.approx(expected, abs=1e-5)


def test_above_the_set_number_patches_are_reduced_and_scores_can_only_rise(model: InCtrlModel) -> None:
    whole = WholeImageDetector(InCtrl(model), Framing())
    reduced = WholeImageDetector(InCtrl(model, 40), Framing())
    normals, queries = random_images(6, seed=1), random_images(3, seed=2)
    small = reduced.references(normals, "bolt")
    assert small.tensors["patches"].shape == (3, 40, 24)
    assert whole.references(normals, "bolt").tensors["patches"].shape == (3, 6 * PATCHES, 24)
    assert bool(
        (
            reduced.score(queries, small).anomaly_maps
            >= whole.score(queries, whole.references(normals, "bolt")).anomaly_maps - 1e-6
        ).all()
    )
    assert all(np.isfinite(small.normal_scores))


def test_references_can_be_kept_and_read_again(detector: Detector) -> None:
    references = detector.references(random_images(3, seed=1), "bolt")
    again = type(references)(
        references.model_id,
        safetensors_torch.load(safetensors_torch.save(dict(references.tensors))),
        references.normal_scores,
    )
    queries = random_images(2, seed=2)
    assert np.array_equal(detector.score(queries, again).image_scores, detector.score(queries, references).image_scores)


def test_the_objects_name_is_asked_about(detector: Detector) -> None:
    normals = random_images(2, seed=1)
    assert detector.references(normals, "bolt").normal_scores != detector.references(normals, "cat").normal_scores


@pytest.mark.parametrize(
    ("count", "message"), [(0, "this set has 0"), (1, "this set has 1"), (10_000, "this set has 10000")]
)
def test_too_few_and_too_many_normals_are_refused(detector: Detector, count: int, message: str) -> None:
    with pytest.raises(InvalidNormalSet, match=f"2 to 64 normal images; {message}"):
        detector.references(random_images(1, seed=1) * count, "bolt")


def test_normals_of_mixed_sizes_and_a_grey_one_are_framed_alike(detector: Detector) -> None:
    grey = np.repeat(np.full((90, 40, 1), 128, np.uint8), 3, axis=2)
    references = detector.references(
        [*random_images(1, seed=1, size=(200, 30)), grey, *random_images(1, seed=2, size=(9, 9))], "bolt"
    )
    assert all(np.isfinite(references.normal_scores))


def test_the_model_id_changes_with_everything_that_changes_scores(model: InCtrlModel) -> None:
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
def folder(tmp_path: Path) -> WeightsStore:
    folder = WeightsStore(tmp_path / "weights")
    state = {**tiny_backbone().network.state_dict(), **tiny_heads().state_dict()}
    torch.save(state, tmp_path / "four-shot.pyth")
    import_file(folder, tmp_path / "four-shot.pyth", ImportOptions("tiny", None, CONFIG))
    return folder


def settings_of(folder: WeightsStore, heads: str = "") -> ScorerSettings:
    return ScorerSettings(
        engine="torch", detector="inctrl", device="cpu", weights_path=folder.path, inctrl_heads=heads, precision="fp32"
    )


def test_an_imported_official_checkpoint_loads_by_the_detectors_name(folder: WeightsStore) -> None:
    detector = registry.load(settings_of(folder), Framing())
    assert detector.name == "inctrl"
    assert detector.weights_sha256 == folder.heads("four-shot").sha256
    scores = detector.score(random_images(1, seed=2), detector.references(random_images(2, seed=1), "bolt"))
    assert 0 <= float(scores.image_scores[0]) <= 1


def test_auto_is_inctrl_where_its_weights_are_kept_and_nearest_patch_elsewhere(
    folder: WeightsStore, tmp_path: Path
) -> None:
    scorer_settings = settings_of(folder).model_copy(update={"detector": "auto"})
    assert registry.resolve_name(scorer_settings) == "inctrl"
    assert registry.load(scorer_settings, Framing()).name == "inctrl"
    assert (
        registry.resolve_name(scorer_settings.model_copy(update={"weights_path": tmp_path / "nothing"}))
        == "nearest-patch"
    )
    assert registry.resolve_name(scorer_settings.model_copy(update={"inctrl_heads": "another"})) == "nearest-patch"
    folder.tower("tiny").path.unlink()
    assert registry.resolve_name(scorer_settings) == "nearest-patch"


def test_detectors_of_several_framings_share_one_model(folder: WeightsStore) -> None:
    first, second = load(settings_of(folder)), load(settings_of(folder))
    assert first.model is second.model
    ids = {WholeImageDetector(first, Framing(kind)).model_id for kind in ("stretch", "letterbox")}
    assert len(ids) == 2


def test_a_coreset_smaller_than_two_normals_is_refused_by_the_settings_name(model: InCtrlModel) -> None:
    with pytest.raises(ModelUnavailable, match=r"scorer\.coreset_patches is 23; with tiny it must be at least 24"):
        WholeImageDetector(InCtrl(model, 23), Framing())


def test_heads_without_their_towers_say_how_to_get_them(folder: WeightsStore) -> None:
    folder.tower("tiny:four-shot").path.unlink()
    with pytest.raises(ModelUnavailable, match="weights of tiny:four-shot are not in"):
        load(settings_of(folder))


def test_heads_of_another_width_are_refused_with_both_widths(folder: WeightsStore) -> None:
    heads = folder.heads()
    folder.put(heads.card, tiny_heads(width=20).state_dict())
    with pytest.raises(InvalidWeights, match=r"adapter\.fc\.0\.weight is 5×20 where 4×16 is needed"):
        load(settings_of(folder))
