import random
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

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
from scorer.backbones.weights.import_openclip import ImportOptions, import_file
from scorer.backbones.weights.store import StoredWeights, WeightsCard, WeightsStore, content_hash
from scorer.detectors import registry
from scorer.detectors.clip import winclip
from scorer.detectors.clip.prompts import prompt_ensemble
from scorer.detectors.clip.winclip import WinClip, WinClipModel, load
from scorer.detectors.protocol import Detector, Scores
from scorer.detectors.whole_image import WholeImageDetector
from scorer.errors import InvalidNormalSet, InvalidWeights, ModelUnavailable, UnsupportedBackbone
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings
from tests.scorer.backbones.tiny_clip import CONFIG, tiny_backbone, tiny_pixels

CPU = torch.device("cpu")

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG_4_BY_5 = {**CONFIG, "vision_cfg": {**CONFIG["vision_cfg"], "image_size": [32, 40]}}
"""A configuration with a grid of 4 × 5, the smallest with several rows and columns of windows of 3 × 3."""


def backbone_4_by_5(seed: int = 0) -> OpenClip:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        architecture = Architecture("tiny", CONFIG_4_BY_5)
        network = build_network(architecture)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return OpenClip(network, architecture, CPU, "fp32")


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
    return list(tiny_pixels(count, seed, size).permute(0, 2, 3, 1).numpy())


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


class ImageTower(Protocol):
    """The layers and weights of OpenCLIP's image tower."""

    conv1: Callable[[torch.Tensor], torch.Tensor]
    ln_pre: Callable[[torch.Tensor], torch.Tensor]
    transformer: Callable[[torch.Tensor], torch.Tensor]
    ln_post: Callable[[torch.Tensor], torch.Tensor]
    class_embedding: torch.Tensor
    positional_embedding: torch.Tensor
    proj: torch.Tensor


def image_tower(backbone: OpenClip) -> ImageTower:
    return cast("ImageTower", backbone.network.visual)


@torch.no_grad()
def embedded_by_hand(backbone: OpenClip, image: torch.Tensor, rows: range, columns: range) -> torch.Tensor:
    """Embed one window with OpenCLIP's own modules: only the class token and the window's tokens enter the blocks."""
    visual = image_tower(backbone)
    tokens = visual.conv1(backbone.normalised(image[None]))[0]  # (W, rows, columns)
    positions = visual.positional_embedding
    cells = [(row, column) for row in rows for column in columns]
    window = [tokens[:, row, column] + positions[1 + row * backbone.grid[1] + column] for row, column in cells]
    states = visual.transformer(visual.ln_pre(torch.stack([visual.class_embedding + positions[0], *window]))[None])
    return visual.ln_post(states[0, 0]) @ visual.proj


@pytest.mark.parametrize("batch_size", [1, 30, 10_000])
def test_every_window_is_embedded_as_if_it_were_alone(monkeypatch: pytest.MonkeyPatch, batch_size: int) -> None:
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
                embedded_by_hand(backbone, image, range(row, row + side), range(column, column + side))
                for row in range(4 - side + 1)
                for column in range(5 - side + 1)
            ]
            for image in pixels
        ]
        expected = torch.stack([torch.stack(of_image) for of_image in by_hand])
        if side == 3:
            expected[excluded] = 0
        torch.testing.assert_close(windows, expected, atol=1e-5, rtol=1e-5)


def test_image_and_patches_are_those_of_the_whole_tower() -> None:
    backbone = backbone_4_by_5()
    pixels = tiny_pixels(2, 1, (32, 40))
    features = ClipWindows(backbone, (2,)).encode(pixels, [torch.ones(2, 12, dtype=torch.bool)])
    images = backbone.normalised(pixels)
    torch.testing.assert_close(features.embedding, backbone.embed_images(images), atol=1e-6, rtol=1e-5)
    last = backbone.encode_images(images, (4,)).tokens[0]
    torch.testing.assert_close(features.patches, image_tower(backbone).ln_post(last), atol=1e-6, rtol=1e-5)


def scored_by_hand(
    model: WinClipModel, query: torch.Tensor, normals: torch.Tensor, noun: str
) -> tuple[float, np.ndarray]:
    """Return the paper's scores of an image, computed patch by patch and window by window in float64."""
    backbone, (rows, columns) = model.towers, model.towers.grid
    prompts = prompt_ensemble(noun)
    texts = [backbone.encode_texts(side).double().mean(dim=0).numpy() for side in (prompts.normal, prompts.anomaly)]

    def cosine(first: np.ndarray, second: np.ndarray) -> float:
        return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))

    def text_score(embedding: np.ndarray) -> float:
        normal, anomaly = (np.exp(cosine(embedding, text) / 0.07) for text in texts)
        return float(anomaly / (normal + anomaly))

    def windows_of(image: torch.Tensor, side: int) -> dict[tuple[int, int], np.ndarray]:
        return {
            (row, column): embedded_by_hand(backbone, image, range(row, row + side), range(column, column + side))
            .double()
            .numpy()
            for row in range(rows - side + 1)
            for column in range(columns - side + 1)
        }

    def patches_of(image: torch.Tensor) -> np.ndarray:
        tokens = backbone.encode_images(backbone.normalised(image[None]), (backbone.blocks,)).tokens[0, 0]
        normalised: np.ndarray = image_tower(backbone).ln_post(tokens).detach().double().numpy()
        return normalised

    def harmonic(values: dict[tuple[int, int], float], side: int, row: int, column: int) -> float:
        covering = [
            value for (top, left), value in values.items() if top <= row < top + side and left <= column < left + side
        ]
        return len(covering) / sum(1 / value for value in covering)

    whole = text_score(backbone.embed_images(backbone.normalised(query[None]))[0].double().numpy())
    own_patches, their_patches = patches_of(query), np.concatenate([patches_of(normal) for normal in normals])
    zero_shot = {side: {at: text_score(window) for at, window in windows_of(query, side).items()} for side in (2, 3)}
    associated = {}
    for side in (2, 3):
        theirs = [window for normal in normals for window in windows_of(normal, side).values()]
        associated[side] = {
            at: min(0.5 * (1 - cosine(window, other)) for other in theirs)
            for at, window in windows_of(query, side).items()
        }
    few_shot, maps = np.zeros((rows, columns)), np.zeros((rows, columns))
    for row in range(rows):
        for column in range(columns):
            patch = own_patches[row * columns + column]
            of_patch = min(0.5 * (1 - cosine(patch, other)) for other in their_patches)
            few_shot[row, column] = (
                of_patch + harmonic(associated[2], 2, row, column) + harmonic(associated[3], 3, row, column)
            ) / 3
            text = 3 / (
                1 / whole + 1 / harmonic(zero_shot[2], 2, row, column) + 1 / harmonic(zero_shot[3], 3, row, column)
            )
            maps[row, column] = (text + few_shot[row, column]) / 2
    return (whole + few_shot.max()) / 2, maps


def test_scores_are_the_papers_computed_one_window_at_a_time(model: WinClipModel, detector: Detector) -> None:
    normals, queries = tiny_pixels(2, 1, (32, 40)), tiny_pixels(2, 2, (32, 40))
    scores = detector.score(random_images(2, 2), detector.references(random_images(2, 1), "bolt"))
    for position, query in enumerate(queries):
        image, maps = scored_by_hand(model, query, normals, "bolt")
        assert float(scores.image_scores[position]) == pytest.approx(image, abs=1e-5)
        np.testing.assert_allclose(scores.anomaly_maps[position], maps, atol=1e-5)


def test_it_is_a_detector(detector: Detector) -> None:
    assert (detector.name, detector.weights_sha256) == ("winclip", "of the towers")
    assert len(detector.model_id) == 64


@settings(max_examples=6, deadline=None)
@given(st.integers(2, 4), st.integers(0, 1000))
def test_a_batch_scores_as_its_images_do_one_by_one(detector: Detector, normals: int, seed: int) -> None:
    references = detector.references(images_of_several_shapes(seed + 1)[:normals], "bolt")
    queries = [*images_of_several_shapes(seed), *random_images(6, seed)]
    batch = detector.score(queries, references)
    for position, query in enumerate(queries):
        assert_close(batch, position, detector.score([query], references))


def test_some_images_of_a_mixed_batch_score_as_they_do_alone(detector: Detector) -> None:
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
def test_each_normal_scores_as_it_would_against_references_of_the_others(detector: Detector, count: int) -> None:
    normals = [*images_of_several_shapes(1), *random_images(2, 5)][: count + 1]
    for left_out, score in enumerate(detector.references(normals, "bolt").normal_scores):
        others = detector.references(
            [normal for position, normal in enumerate(normals) if position != left_out], "bolt"
        )
        assert float(detector.score([normals[left_out]], others).image_scores[0]) == pytest.approx(score, abs=1e-5)


def test_a_normal_itself_is_associated_with_itself(detector: Detector) -> None:
    normals = random_images(3, 1)
    scores = detector.score(normals, detector.references(normals, "bolt"))
    np.testing.assert_allclose(scores.components["largest association"], torch.zeros(3), atol=1e-6, rtol=0)
    np.testing.assert_allclose(scores.image_scores, scores.components["text"] / 2, atol=1e-6, rtol=0)


def test_bars_of_a_letterbox_take_no_part(detector: Detector) -> None:
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


def test_above_the_set_number_views_are_reduced_and_associations_can_only_rise(model: WinClipModel) -> None:
    whole, reduced = WholeImageDetector(WinClip(model), Framing()), WholeImageDetector(WinClip(model, 40), Framing())
    normals, queries = random_images(5, 1), random_images(3, 2)
    small = reduced.references(normals, "bolt")
    assert [len(small.tensors[f"scale {scale}"]) for scale in range(3)] == [40, 40, 5 * 6]
    reduced_scores = reduced.score(queries, small)
    whole_scores = whole.score(queries, whole.references(normals, "bolt"))
    assert (reduced_scores.anomaly_maps >= whole_scores.anomaly_maps - 1e-6).all()
    assert np.isfinite(small.normal_scores).all()


def test_flat_grey_and_equal_images_get_finite_scores(detector: Detector) -> None:
    flat = [np.full((64, 64, 3), grey, np.uint8) for grey in (0, 0, 128, 255)]
    references = detector.references(flat, "bolt")
    scores = detector.score([*flat, *random_images(1, 1)], references)
    assert np.isfinite(scores.image_scores).all()
    assert np.isfinite(scores.anomaly_maps).all()
    assert np.isfinite(references.normal_scores).all()


def test_the_objects_name_is_asked_about(detector: Detector) -> None:
    normals = random_images(2, 1)
    assert detector.references(normals, "bolt").normal_scores != detector.references(normals, "nut").normal_scores


@pytest.mark.parametrize("count", [0, 1, 65])
def test_too_few_and_too_many_normals_are_refused(detector: Detector, count: int) -> None:
    with pytest.raises(InvalidNormalSet, match=f"2 to 64 normal images; this set has {count}"):
        detector.references(random_images(1, 1) * count, "bolt")


def test_tiles_are_refused_with_what_to_choose(model: WinClipModel) -> None:
    with pytest.raises(InvalidNormalSet, match="framing is tiles_2; choose letterbox, stretch or centre_crop"):
        WholeImageDetector(WinClip(model), Framing("tiles_2")).references(random_images(2, 1), "bolt")


def test_the_model_id_changes_with_everything_that_changes_scores(model: WinClipModel) -> None:
    ids = {
        WholeImageDetector(WinClip(model, coreset_patches), framing).model_id
        for framing in (Framing("letterbox"), Framing("stretch"))
        for coreset_patches in (100, 200)
    }
    assert len(ids) == 4


def test_a_coreset_smaller_than_two_normals_is_refused_by_the_settings_name(model: WinClipModel) -> None:
    with pytest.raises(ModelUnavailable, match=r"scorer\.coreset_patches is 39; with tiny it must be at least 40"):
        WholeImageDetector(WinClip(model, 39), Framing())


def test_a_tower_with_too_few_patches_or_of_another_kind_is_refused() -> None:
    small = {**CONFIG, "vision_cfg": {**CONFIG["vision_cfg"], "image_size": [16, 32]}}
    flat = Architecture("flat", small)
    with pytest.raises(UnsupportedBackbone, match="windows of 3 × 3 patches, and flat has only 2 × 4"):
        ClipWindows(OpenClip(build_network(flat), flat, CPU, "fp32"), (2, 3))
    pooled = Architecture("pooled", {**CONFIG, "vision_cfg": {**CONFIG["vision_cfg"], "pool_type": "avg"}})
    with pytest.raises(UnsupportedBackbone, match=r"CLIP's own image tower, which pooled doesn't have"):
        ClipWindows(OpenClip(build_network(pooled), pooled, CPU, "fp32"), (2, 3))


@pytest.fixture
def folder(tmp_path: Path) -> WeightsStore:
    folder = WeightsStore(tmp_path / "weights")
    torch.save(dict(tiny_backbone().network.state_dict()), tmp_path / "fetched.pt")
    import_file(folder, tmp_path / "fetched.pt", ImportOptions("tiny", "ours", CONFIG))
    return folder


def settings_of(folder: WeightsStore, backbone: str = "openclip/tiny") -> ScorerSettings:
    return ScorerSettings(
        engine="torch", detector="winclip", backbone=backbone, device="cpu", weights_path=folder.path, precision="fp32"
    )


@pytest.mark.parametrize("backbone", ["openclip/tiny", "openclip/tiny:ours"])
def test_it_loads_on_a_kept_clip_by_its_name(folder: WeightsStore, backbone: str) -> None:
    detector = registry.load(settings_of(folder, backbone), Framing())
    assert detector.weights_sha256 == folder.tower("tiny:ours").sha256
    scores = detector.score(random_images(1, 2), detector.references(random_images(2, 1), "bolt"))
    assert 0 <= float(scores.image_scores[0]) <= 1
    assert scores.anomaly_maps.shape == (1, 3, 4)


def test_a_method_on_clips_patches_in_bf16_is_held_to_the_same_weights_in_fp32(folder: WeightsStore) -> None:
    exact, rounded = (
        registry.load(
            settings_of(folder).model_copy(update={"detector": "nearest-patch", "precision": precision}), Framing()
        )
        for precision in ("fp32", "bf16")
    )
    first, second = (each.references(random_images(3, 1), "bolt").tensors for each in (exact, rounded))
    assert all(torch.equal(first[name].to(second[name].dtype), second[name]) for name in first)
    assert exact.model_id != rounded.model_id


def test_detectors_of_several_framings_share_one_model(folder: WeightsStore) -> None:
    first, second = load(settings_of(folder)), load(settings_of(folder))
    assert first.model is second.model
    stretched, boxed = WholeImageDetector(first, Framing("stretch")), WholeImageDetector(second, Framing("letterbox"))
    assert stretched.model_id != boxed.model_id
    del first, second, stretched, boxed
    assert len(winclip._models) == 0


@pytest.mark.parametrize("backbone", ["andon-tiny", "timm/vit_small_patch14_dinov2.lvd142m"])
def test_a_backbone_without_a_text_tower_is_refused_with_what_to_set(folder: WeightsStore, backbone: str) -> None:
    with pytest.raises(UnsupportedBackbone) as refusal:
        registry.load(settings_of(folder, backbone), Framing())
    assert str(refusal.value) == (
        f"The detector winclip compares images with texts, and the backbone {backbone} has no text tower; set "
        "scorer.backbone to a CLIP that andon weights list shows, such as openclip/ViT-B-16-plus-240."
    )


def test_a_clip_that_is_not_kept_says_how_to_get_it(folder: WeightsStore) -> None:
    with pytest.raises(ModelUnavailable, match="run andon weights fetch ViT-B-16-plus-240, or copy"):
        registry.load(settings_of(folder, "openclip/ViT-B-16-plus-240"), Framing())


def test_of_two_tags_one_must_be_named(folder: WeightsStore) -> None:
    tower = folder.tower("tiny")
    tensors = folder.tensors(tower)
    folder.put(
        WeightsCard("openclip", "tiny", "theirs", "here", content_hash(tensors), CONFIG, (0.5,) * 3, (0.5,) * 3),
        tensors,
    )
    with pytest.raises(ModelUnavailable, match="has tiny:ours, tiny:theirs; say which, as in tiny:ours"):
        registry.load(settings_of(folder), Framing())


def test_weights_of_another_width_and_a_changed_file_are_refused(folder: WeightsStore) -> None:
    tower = folder.tower("tiny")
    tensors = folder.tensors(tower)
    folder.put(tower.card, {**tensors, "visual.proj": torch.zeros(24, 3)})
    with pytest.raises(InvalidWeights, match=r"of another shape: visual\.proj is 24×3 where 24×16 is needed"):
        registry.load(settings_of(folder), Framing())
    content = bytearray(tower.path.read_bytes())
    tower.path.write_bytes(content[:-1])
    with pytest.raises(InvalidWeights, match="is cut short"):
        registry.load(settings_of(folder), Framing())


def test_a_kept_clips_image_tower_is_a_backbone_for_methods_that_compare_patches(folder: WeightsStore) -> None:
    scorer_settings = ScorerSettings(
        engine="torch",
        detector="nearest-patch",
        backbone="openclip/tiny",
        backbone_blocks="4",
        device="cpu",
        weights_path=folder.path,
        precision="fp32",
    )
    detector = registry.load(scorer_settings, Framing())
    assert detector.weights_sha256 == folder.tower("tiny").sha256
    references = detector.references(random_images(2, 1), "bolt")
    rows, normals, columns, width = references.tensors["layer 0"].shape
    assert "layer 1" not in references.tensors  # one block
    assert (normals, columns, width) == (2, 4, 24)
    assert int(references.tensors["valid_mask"].any(dim=2).any(dim=1).sum()) == 3 <= rows
