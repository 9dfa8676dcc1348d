from dataclasses import replace
from pathlib import Path

import pytest
import torch
from einops import rearrange
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.backbones import tiny
from scorer.backbones.weights.store import WeightsStore, file_sha256, read_card
from scorer.detectors import registry
from scorer.detectors.inctrl import visual
from scorer.detectors.inctrl.heads import InCtrlHeads
from scorer.detectors.inctrl.visual import (
    SHIPPED_HEADS,
    SHIPPED_SHA256,
    InCtrlVisual,
    load,
    make_card,
    mean_embedding,
    read_heads,
)
from scorer.detectors.patch_based.method import leave_one_out_by_refitting
from scorer.detectors.patch_based.patches import Patches
from scorer.errors import InvalidWeights, ModelUnavailable
from scorer.settings import ScorerSettings
from tests.scorer.backbones.tiny_clip import tiny_heads
from tests.scorer.detectors.patch_samples import patches

pytestmark = pytest.mark.usefixtures("one_thread")

GRID, WIDTH, LAYERS = (4, 4), 6, 2


def make_method(max_patches: int = 4096) -> InCtrlVisual:
    return InCtrlVisual(tiny_heads(LAYERS * WIDTH, 16), GRID, "random", max_patches)


def random_patches(images: int, seed: int, grid: tuple[int, int] = GRID, padding: tuple[int, ...] = ()) -> Patches:
    return patches(images, grid=grid, width=WIDTH, layers=LAYERS, seed=seed, padding=padding)


def score_by_hand(query: torch.Tensor, normals: torch.Tensor, heads: InCtrlHeads) -> float:
    """Return the paper's score of a query (L, P, W) against normals (L, K, P, W), computed patch by patch."""
    residual = torch.zeros(query.shape[1])
    for layer in range(len(query)):
        for cell, patch in enumerate(query[layer]):
            cosines = [torch.dot(patch, other) / patch.norm() / other.norm() for other in normals[layer].flatten(0, 1)]
            residual[cell] += (1 - max(cosines)) / 2 / len(query)

    def embedding(tokens: torch.Tensor) -> torch.Tensor:
        return torch.cat([(layer / layer.norm(dim=1, keepdim=True)).mean(dim=0) * WIDTH**0.5 for layer in tokens])

    adapted = torch.stack([heads.adapter(embedding(normals[:, index])) for index in range(normals.shape[1])]).mean(
        dim=0
    )
    image_score = torch.sigmoid(heads.diff_head_ref((adapted - heads.adapter(embedding(query)))[None]))
    holistic = torch.sigmoid(heads.diff_head(residual[None] + image_score))
    return float((holistic + residual.max()) / 2)


def test_scores_equal_the_paper_without_the_text_score() -> None:
    normals, queries = random_patches(3, seed=1), random_patches(2, seed=2)
    model = make_method()
    image_scores = model.score(queries, model.fit(normals)).image
    for index in range(2):
        expected = score_by_hand(queries.tokens[:, index], normals.tokens, model.heads)
        assert image_scores[index].item() == pytest.approx(expected, abs=1e-5)


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 5), st.sampled_from([GRID, (8, 4)]), st.sampled_from([(), (0, 1, 5)]), st.integers(0, 100))
def test_leave_one_out_scores_equal_scores_against_the_other_normals(
    count: int, grid: tuple[int, int], padding: tuple[int, ...], seed: int
) -> None:
    model, normals = make_method(), random_patches(count, seed, grid, padding)
    torch.testing.assert_close(
        model.leave_one_out(normals, model.fit(normals)), leave_one_out_by_refitting(model, normals)
    )


def test_a_larger_grid_is_scored_by_tiles_and_the_highest_score_counts() -> None:
    model = make_method()
    normals, query = random_patches(2, seed=1, grid=(8, 8)), random_patches(1, seed=2, grid=(8, 8))
    result = model.score(query, model.fit(normals))

    def tile(images: Patches, row: int, column: int) -> torch.Tensor:
        whole = rearrange(images.tokens, "l b (r h c w) d -> r c l b (h w) d", r=2, c=2, h=4, w=4)
        return whole[row, column]

    tile_indices = [(row, column) for row in range(2) for column in range(2)]
    all_tiles = torch.cat([tile(normals, *tile_index) for tile_index in tile_indices], dim=1)
    fitted = model.fit(Patches(all_tiles, torch.ones(8, 16, dtype=torch.bool), GRID))
    scores = []
    for tile_index in tile_indices:
        own = model.fit(Patches(tile(normals, *tile_index), torch.ones(2, 16, dtype=torch.bool), GRID))
        references = {**fitted, "adapted": own["adapted"], "valid_tiles": own["valid_tiles"]}
        part = Patches(tile(query, *tile_index), torch.ones(1, 16, dtype=torch.bool), GRID)
        scores.append(model.score(part, references).image[0])
    torch.testing.assert_close(result.image[0], max(scores))
    assert result.maps.shape == (1, 64)


def test_tiles_of_padding_are_ignored() -> None:
    model = make_method()
    right_half = tuple(row * 8 + column for row in range(4) for column in range(4, 8))
    normals, query = (
        random_patches(2, seed=1, grid=(4, 8), padding=right_half),
        random_patches(1, seed=2, grid=(4, 8), padding=right_half),
    )
    left = [row * 8 + column for row in range(4) for column in range(4)]

    def left_half(images: Patches) -> Patches:
        return Patches(images.tokens[:, :, left], images.valid_mask[:, left], GRID)

    result = model.score(query, model.fit(normals))
    alone = model.score(left_half(query), model.fit(left_half(normals)))
    torch.testing.assert_close(result.image, alone.image)


def test_references_are_reduced_but_never_below_two_images() -> None:
    normals = random_patches(6, seed=3)
    assert make_method(max_patches=40).fit(normals)["patches"].shape == (LAYERS, 40, WIDTH)
    reduced = make_method(max_patches=1)
    fitted = reduced.fit(normals)
    assert fitted["patches"].shape == (LAYERS, 32, WIDTH)
    assert torch.isfinite(reduced.leave_one_out(normals, fitted)).all()


def test_an_embedding_is_the_mean_of_the_valid_patches() -> None:
    tokens = torch.tensor([[[[1.0, 0], [0, 1], [0.6, 0.8]]]])
    valid_mask = torch.tensor([[True, True, False]])
    torch.testing.assert_close(mean_embedding(tokens, valid_mask), torch.tensor([[0.5, 0.5]]) * 2**0.5)


def test_heads_for_another_backbone_are_refused() -> None:
    with pytest.raises(InvalidWeights, match=r"4×4.*4×6"):
        make_method().fit(random_patches(2, seed=1, grid=(4, 6)))
    with pytest.raises(InvalidWeights, match="andon train inctrl"):
        make_method().fit(patches(2, width=7, layers=2))


def store_heads(folder: Path, tag: str = "mine", backbone: str = tiny.NAME, sha256: str | None = tiny.SHA256) -> Path:
    tensors = InCtrlHeads(512, 256).state_dict()
    card = make_card(tensors, tag, (backbone, sha256), (16, 16), {})
    return WeightsStore(folder).put(card, tensors).path


def test_heads_are_loaded_by_tag_from_the_weights_folder(tmp_path: Path) -> None:
    store_heads(tmp_path)
    store_heads(tmp_path, "others", backbone="filterbank", sha256=None)
    scorer_settings = ScorerSettings(weights_path=tmp_path, inctrl_heads="mine", device="cpu")
    assert load(scorer_settings).configuration["heads"] != load(ScorerSettings(device="cpu")).configuration["heads"]
    for unavailable in (
        scorer_settings.model_copy(update={"inctrl_heads": "yours"}),
        scorer_settings.model_copy(update={"backbone": "timm/x"}),
    ):
        with pytest.raises(ModelUnavailable, match=r"andon train inctrl"):
            load(unavailable)


def test_other_files_are_refused_as_heads(tmp_path: Path) -> None:
    with pytest.raises(InvalidWeights, match=r"none\.safetensors"):
        read_heads(tmp_path / "none.safetensors", tiny.NAME)
    path = store_heads(tmp_path)
    with pytest.raises(InvalidWeights, match=r"andon-tiny.*filterbank"):
        read_heads(path, "filterbank")
    with pytest.raises(InvalidWeights):
        read_heads(path, tiny.NAME, expected=SHIPPED_SHA256)
    with pytest.raises(InvalidWeights, match="andon-tiny"):
        read_heads(store_heads(tmp_path, "stale", sha256="0" * 64), tiny.NAME)
    card = read_card(path)
    assert card is not None
    towers = WeightsStore(tmp_path).put(replace(card, kind="inctrl-heads"), InCtrlHeads(512, 256).state_dict())
    with pytest.raises(InvalidWeights):
        read_heads(towers.path, tiny.NAME)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InvalidWeights):
        read_heads(path, tiny.NAME)


def test_the_shipped_heads_belong_to_the_shipped_backbone_and_name_their_training_data() -> None:
    assert file_sha256(SHIPPED_HEADS) == SHIPPED_SHA256
    card = read_card(SHIPPED_HEADS)
    assert card is not None
    assert card.config["backbone_sha256"] == tiny.SHA256
    assert sorted(card.config["training"]["sources"]) == ["aliens", "brainmri", "photographs"]
    assert SHIPPED_SHA256 in SHIPPED_HEADS.with_suffix(".md").read_text()
    assert "inctrl-visual" in registry.detector_names()
    assert visual.InCtrlVisual.name == "inctrl-visual"
