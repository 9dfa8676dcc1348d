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
from scorer.backbones import clip_windows
from scorer.backbones.clip_architecture import Architecture, build_network
from scorer.backbones.clip_loader import LoadedClip
from scorer.backbones.clip_windows import ClipWindows, window_cells
from scorer.backbones.openclip import OpenClip
from scorer.backbones.weights.store import StoredWeights, WeightsCard
from scorer.detectors.clip.winclip import WinClip, WinClipModel
from scorer.detectors.protocol import Detector, Scores
from scorer.detectors.whole_image import WholeImageDetector
from scorer.errors import InvalidNormalSet, ModelUnavailable, UnsupportedBackbone
from scorer.imaging.framing import Framing
from tests.scorer.backbones.tiny_clip import CONFIG, tiny_images, tiny_pixels
from tests.scorer.detectors.clip.winclip_by_hand import (
    backbone_4_by_5,
    image_tower,
    scores_by_hand,
    window_embedding_by_hand,
)

CPU = torch.device("cpu")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model() -> WinClipModel:
    card = WeightsCard("openclip", "tiny", "ours", source="here", contents="tiny")
    return WinClipModel(
        LoadedClip(backbone_4_by_5(), StoredWeights(Path("tiny.safetensors"), card, "of the towers", 0))
    )


@pytest.fixture(scope="module")
def detector(model: WinClipModel) -> Detector:
    return WholeImageDetector(WinClip(model), Framing())


def random_images(count: int, seed: int, size: tuple[int, int] = (32, 40)) -> list[RgbImage]:
    return tiny_images(count, seed, size)


def images_of_several_shapes(seed: int = 0) -> list[RgbImage]:
    """Return an image of the tower's shape, a wide one, a high one and a thin line, so that each side gets padding."""
    return [
        random_images(1, seed + position, size)[0]
        for position, size in enumerate([(32, 40), (20, 90), (70, 30), (3, 200)])
    ]


def assert_close(batch: Scores, position: int, single: Scores) -> None:
    np.testing.assert_allclose(batch.image_scores[position], single.image_scores[0], atol=1e-5, rtol=0)
    np.testing.assert_allclose(batch.anomaly_maps[position], single.anomaly_maps[0], atol=1e-5, rtol=0)
    for name, values in batch.components.items():
        np.testing.assert_allclose(values[position], single.components[name][0], atol=1e-5, rtol=0)


def test_windows_are_all_squares_of_cells_row_by_row() -> None:
    assert window_cells((2, 3), 2).tolist() == [[0, 1, 3, 4], [1, 2, 4, 5]]
    assert window_cells((15, 15), 2).shape == (196, 4)
    assert window_cells((15, 15), 3).shape == (169, 9)


@pytest.mark.parametrize("batch_size", [1, 30, 10_000])
def test_each_window_embedding_equals_that_of_the_window_alone(
    monkeypatch: pytest.MonkeyPatch, batch_size: int
) -> None:
    monkeypatch.setitem(clip_windows.WINDOW_TOKEN_BATCH, "cpu", batch_size)
    backbone = backbone_4_by_5()
    pixels = tiny_pixels(2, 1, (32, 40))
    excluded = torch.zeros(2, 6, dtype=torch.bool)
    excluded[0, 4] = excluded[1, 2] = True
    features = ClipWindows(backbone, (2, 3)).encode(pixels, (torch.ones(2, 12, dtype=torch.bool), ~excluded))
    assert (features.windows[1][excluded] == 0).all()
    for windows, side in zip(features.windows, (2, 3), strict=True):
        by_hand = [
            [
                window_embedding_by_hand(backbone, image, range(row, row + side), range(column, column + side))
                for row in range(4 - side + 1)
                for column in range(5 - side + 1)
            ]
            for image in pixels
        ]
        expected = torch.stack([torch.stack(image_windows) for image_windows in by_hand])
        if side == 3:
            expected[excluded] = 0
        torch.testing.assert_close(windows, expected, atol=1e-5, rtol=1e-5)


def test_image_and_patch_embeddings_are_those_of_the_whole_tower() -> None:
    backbone = backbone_4_by_5()
    pixels = tiny_pixels(2, 1, (32, 40))
    features = ClipWindows(backbone, (2,)).encode(pixels, [torch.ones(2, 12, dtype=torch.bool)])
    images = backbone.normalised(pixels)
    torch.testing.assert_close(features.embedding, backbone.embed_images(images), atol=1e-6, rtol=1e-5)
    last = backbone.encode_images(images, (4,)).tokens[0]
    torch.testing.assert_close(features.patches, image_tower(backbone).ln_post(last), atol=1e-6, rtol=1e-5)


def test_scores_equal_the_papers_computed_window_by_window(model: WinClipModel, detector: Detector) -> None:
    normals, queries = tiny_pixels(2, 1, (32, 40)), tiny_pixels(2, 2, (32, 40))
    scores = detector.score(random_images(2, 2), detector.references(random_images(2, 1), "bolt"))
    for position, query in enumerate(queries):
        image, maps = scores_by_hand(model, query, normals, "bolt")
        assert float(scores.image_scores[position]) == pytest.approx(image, abs=1e-5)
        np.testing.assert_allclose(scores.anomaly_maps[position], maps, atol=1e-5)


def test_the_detector_has_name_weights_and_model_id(detector: Detector) -> None:
    assert (detector.name, detector.weights_sha256) == ("winclip", "of the towers")
    assert len(detector.model_id) == 64


@settings(max_examples=6, deadline=None)
@given(st.integers(2, 4), st.integers(0, 1000))
def test_batch_scores_equal_single_scores(detector: Detector, normals: int, seed: int) -> None:
    references = detector.references(images_of_several_shapes(seed + 1)[:normals], "bolt")
    queries = [*images_of_several_shapes(seed), *random_images(6, seed)]
    batch = detector.score(queries, references)
    for position, query in enumerate(queries):
        assert_close(batch, position, detector.score([query], references))


def test_a_subset_of_a_batch_scores_like_its_images(detector: Detector) -> None:
    references = detector.references(random_images(2, 1), "bolt")
    encoded = detector.encode([detector.prepare(image) for image in images_of_several_shapes()])
    subset = detector.score_features(encoded.take([2, 0]), [references] * 2)
    for position, chosen in enumerate((2, 0)):
        assert_close(subset, position, detector.score([images_of_several_shapes()[chosen]], references))


@pytest.mark.parametrize("coreset_patches", [40, 4096])
def test_the_order_of_the_normals_does_not_matter(model: WinClipModel, coreset_patches: int) -> None:
    detector = WholeImageDetector(WinClip(model, coreset_patches), Framing())
    normals = [*images_of_several_shapes(1), *random_images(2, 9)]
    order = random.Random(3).sample(range(6), 6)
    before, after = detector.references(normals, "bolt"), detector.references([normals[i] for i in order], "bolt")
    assert safetensors_torch.save(dict(before.tensors)) == safetensors_torch.save(dict(after.tensors))
    assert after.normal_scores == tuple(before.normal_scores[i] for i in order)


@pytest.mark.parametrize("count", [2, 4])
def test_leave_one_out_scores_equal_scores_against_the_other_normals(detector: Detector, count: int) -> None:
    normals = [*images_of_several_shapes(1), *random_images(2, 5)][: count + 1]
    for left_out, score in enumerate(detector.references(normals, "bolt").normal_scores):
        others = detector.references(
            [normal for position, normal in enumerate(normals) if position != left_out], "bolt"
        )
        assert float(detector.score([normals[left_out]], others).image_scores[0]) == pytest.approx(score, abs=1e-5)


def test_a_normal_is_associated_with_itself(detector: Detector) -> None:
    normals = random_images(3, 1)
    scores = detector.score(normals, detector.references(normals, "bolt"))
    np.testing.assert_allclose(scores.components["largest association"], torch.zeros(3), atol=1e-6, rtol=0)
    np.testing.assert_allclose(scores.image_scores, scores.components["text"] / 2, atol=1e-6, rtol=0)


def test_letterbox_padding_is_ignored(detector: Detector) -> None:
    wide = [random_images(1, seed, (10, 90))[0] for seed in range(3)]
    references = detector.references(wide[:2], "bolt")
    cells = Framing().valid_mask(*wide[2].shape[:2], (32, 40), (4, 5))
    assert cells.sum() == 5
    scores = detector.score(wide[2:], references)
    assert (scores.anomaly_maps[0][~cells] == 0).all()
    assert (scores.anomaly_maps[0][cells] > 0).all()
    rows = int(np.flatnonzero(cells.any(axis=1))[0])
    touching = sum(1 for row in range(3) if row <= rows < row + 2) * 4
    assert [len(references.tensors[f"scale {scale}"]) for scale in (0, 1)] == [2 * 5, 2 * touching]


def test_a_coreset_limits_the_references_and_only_increases_scores(model: WinClipModel) -> None:
    whole, reduced = WholeImageDetector(WinClip(model), Framing()), WholeImageDetector(WinClip(model, 40), Framing())
    normals, queries = random_images(5, 1), random_images(3, 2)
    small = reduced.references(normals, "bolt")
    assert [len(small.tensors[f"scale {scale}"]) for scale in range(3)] == [40, 40, 5 * 6]
    reduced_scores = reduced.score(queries, small)
    whole_scores = whole.score(queries, whole.references(normals, "bolt"))
    assert (reduced_scores.anomaly_maps >= whole_scores.anomaly_maps - 1e-6).all()
    assert np.isfinite(small.normal_scores).all()


def test_uniform_and_equal_images_have_finite_scores(detector: Detector) -> None:
    flat = [np.full((64, 64, 3), grey, np.uint8) for grey in (0, 0, 128, 255)]
    references = detector.references(flat, "bolt")
    scores = detector.score([*flat, *random_images(1, 1)], references)
    assert np.isfinite(scores.image_scores).all()
    assert np.isfinite(scores.anomaly_maps).all()
    assert np.isfinite(references.normal_scores).all()


def test_the_object_name_changes_the_scores(detector: Detector) -> None:
    normals = random_images(2, 1)
    assert detector.references(normals, "bolt").normal_scores != detector.references(normals, "nut").normal_scores


@pytest.mark.parametrize("count", [0, 1, 65])
def test_too_few_and_too_many_normals_are_refused(detector: Detector, count: int) -> None:
    with pytest.raises(InvalidNormalSet, match=rf"2 to 64.*\b{count}\b"):
        detector.references(random_images(1, 1) * count, "bolt")


def test_tiles_are_refused_with_the_supported_framings(model: WinClipModel) -> None:
    with pytest.raises(InvalidNormalSet, match=r"tiles_2.*letterbox, stretch or centre_crop"):
        WholeImageDetector(WinClip(model), Framing("tiles_2")).references(random_images(2, 1), "bolt")


def test_the_model_id_depends_on_everything_that_changes_scores(model: WinClipModel) -> None:
    ids = {
        WholeImageDetector(WinClip(model, coreset_patches), framing).model_id
        for framing in (Framing("letterbox"), Framing("stretch"))
        for coreset_patches in (100, 200)
    }
    assert len(ids) == 4


def test_a_coreset_smaller_than_two_normals_is_refused(model: WinClipModel) -> None:
    with pytest.raises(ModelUnavailable, match=r"scorer\.coreset_patches is 39.*40"):
        WholeImageDetector(WinClip(model, 39), Framing())


def test_an_unsupported_image_tower_is_refused() -> None:
    small = {**CONFIG, "vision_cfg": {**CONFIG["vision_cfg"], "image_size": [16, 32]}}
    flat = Architecture("flat", small)
    with pytest.raises(UnsupportedBackbone, match=r"3 × 3.*flat.*2 × 4"):
        ClipWindows(OpenClip(build_network(flat), flat, CPU, "fp32"), (2, 3))
    pooled = Architecture("pooled", {**CONFIG, "vision_cfg": {**CONFIG["vision_cfg"], "pool_type": "avg"}})
    with pytest.raises(UnsupportedBackbone, match="pooled"):
        ClipWindows(OpenClip(build_network(pooled), pooled, CPU, "fp32"), (2, 3))
