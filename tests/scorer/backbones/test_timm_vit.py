from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from timm.models.vision_transformer import VisionTransformer

from scorer.backbones import registry
from scorer.backbones.block_selection import select_blocks
from scorer.backbones.protocol import PatchBackbone
from scorer.backbones.timm_vit import TimmVit, build_timm, load_timm
from scorer.backbones.weights.import_timm import import_timm, repository_of
from scorer.backbones.weights.store import WeightsStore
from scorer.detectors import registry as detectors
from scorer.detectors.nearest_patch import NearestPatch
from scorer.detectors.patch_based.detector import PatchDetector
from scorer.errors import InvalidWeights, ModelUnavailable, UnknownBackbone, UnsupportedBackbone
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings
from tests.scorer.backbones.tiny_clip import tiny_pixels

CPU = torch.device("cpu")
SMALL = "test_vit.r160_in1k"
"""timm's own model for tests: 160 pixels, six blocks of 64."""

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(tmp_path: Path) -> WeightsStore:
    return WeightsStore(tmp_path / "weights")


def oblong() -> Any:
    """A transformer with four register tokens over an oblong image, whose prefix must not become patches."""
    torch.manual_seed(0)
    network: Any = VisionTransformer((28, 42), 14, embed_dim=24, depth=4, num_heads=2, reg_tokens=4, num_classes=0)
    network.pretrained_cfg = {"mean": (0.5, 0.4, 0.3), "std": (0.1, 0.2, 0.3)}
    return network


def weights(seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return dict(build_timm(SMALL).state_dict())


def kept(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    save_file(tensors, path)
    return path


def asked(folder: WeightsStore, name: str = f"timm/{SMALL}", blocks: str = "") -> ScorerSettings:
    return ScorerSettings(
        engine="torch", backbone=name, backbone_blocks=blocks, weights_path=folder.path, device="cpu", precision="fp32"
    )


def test_grid_size_depth_width_and_prefix_come_from_the_model() -> None:
    vit = TimmVit(oblong(), "oblong", (2, 4), CPU, "fp32")
    assert (vit.size, vit.grid, vit.depth, vit.width, vit.prefix_tokens) == ((28, 42), (2, 3), 4, 24, 5)
    assert vit.tokens(tiny_pixels(2, 1, (28, 42))).shape == (2, 2, 6, 24)


def test_the_last_blocks_tokens_are_the_models_own_features_behind_its_prefix() -> None:
    network = oblong()
    pixels = tiny_pixels(3, 1, (28, 42))
    mean, std = (torch.tensor(network.pretrained_cfg[part]).view(3, 1, 1) for part in ("mean", "std"))
    with torch.no_grad():
        features = network.eval().forward_features((pixels / 255 - mean) / std)
    torch.testing.assert_close(TimmVit(network, "oblong", (4,), CPU, "fp32").tokens(pixels)[0], features[:, 5:])


def test_a_batchs_tokens_are_those_of_its_pictures_one_by_one() -> None:
    vit: PatchBackbone = TimmVit(oblong(), "oblong", (1, 3, 4), CPU, "fp32")
    pixels = tiny_pixels(5, 1, (28, 42))
    singles = torch.cat([vit.tokens(one[None]) for one in pixels], dim=1)
    torch.testing.assert_close(vit.tokens(pixels), singles, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("depth", "blocks"), [(12, (7, 9, 11)), (24, (14, 18, 22)), (40, (23, 30, 37)), (6, (4, 6)), (2, (1, 2)), (1, (1,))]
)
def test_blocks_are_those_at_7_9_and_11_twelfths_of_any_depth(depth: int, blocks: tuple[int, ...]) -> None:
    assert select_blocks("", depth, "it") == blocks


def test_blocks_can_be_set_and_are_refused_with_those_there_are() -> None:
    assert select_blocks("12, 3", 12, "it") == (3, 12)
    for wrong in ("13", "0", "a", "1,,2", "-1", "1.5"):
        with pytest.raises(UnsupportedBackbone, match=r"backbone_blocks is .*; it has blocks 1 to 12, .* as in 7,9,11"):
            select_blocks(wrong, 12, "it")


def test_blocks_of_a_backbone_without_any_are_refused() -> None:
    with pytest.raises(UnsupportedBackbone, match=r"backbone_blocks is '3', .*andon-tiny is none: leave it empty"):
        registry.load(ScorerSettings(backbone_blocks="3"), CPU)


def test_a_file_is_kept_under_timms_name_and_loaded_by_it(folder: WeightsStore, tmp_path: Path) -> None:
    tensors = weights()
    one = import_timm(folder, kept(tmp_path / "model.safetensors", tensors), SMALL)
    assert (one.card.name, one.card.kind, one.card.source) == (f"timm/{SMALL}", "timm", "model.safetensors")
    backbone = registry.load(asked(folder), CPU)
    assert (backbone.name, backbone.weights_sha256, backbone.grid) == (f"timm/{SMALL}", one.sha256, (10, 10))
    direct = build_timm(SMALL)
    direct.load_state_dict(tensors)
    pixels = tiny_pixels(1, 1, (160, 160))
    torch.testing.assert_close(backbone.tokens(pixels), TimmVit(direct, "it", (4, 6), CPU, "fp32").tokens(pixels))


def test_in_bf16_normals_are_held_to_the_same_weights_in_fp32(folder: WeightsStore, tmp_path: Path) -> None:
    import_timm(folder, kept(tmp_path / "model.safetensors", weights()), SMALL)
    pictures = list(tiny_pixels(7, 3, (160, 160)).permute(0, 2, 3, 1).contiguous().numpy())
    chosen = []
    for precision in ("fp32", "bf16"):
        settings = asked(folder).model_copy(update={"detector": "patchcore", "precision": precision})
        chosen.append(detectors.load(settings, Framing("stretch")).references(pictures, "part").tensors["coreset"])
    assert torch.equal(*chosen)


def test_without_its_tag_the_only_one_is_taken_and_of_two_one_must_be_named(
    folder: WeightsStore, tmp_path: Path
) -> None:
    file = kept(tmp_path / "model.safetensors", weights())
    import_timm(folder, file, "test_vit")
    assert load_timm(asked(folder, "timm/test_vit"), CPU).name == f"timm/{SMALL}"
    import_timm(folder, file, SMALL, tag="ours")
    assert load_timm(asked(folder, "timm/test_vit.ours"), CPU).name == "timm/test_vit.ours"
    with pytest.raises(ModelUnavailable, match=r"has timm/test_vit\.ours, timm/test_vit\.r160_in1k; say which"):
        load_timm(asked(folder, "timm/test_vit"), CPU)


def test_a_kept_file_carried_to_another_folder_needs_no_name(folder: WeightsStore, tmp_path: Path) -> None:
    from scorer.backbones.weights.import_openclip import ImportOptions, import_file

    one = import_timm(folder, kept(tmp_path / "model.safetensors", weights()), SMALL)
    assert import_file(WeightsStore(tmp_path / "elsewhere"), one.path, ImportOptions())[0].sha256 == one.sha256


def test_what_is_missing_surplus_or_of_another_width_is_named_and_nothing_kept(
    folder: WeightsStore, tmp_path: Path
) -> None:
    tensors = weights()
    del tensors["norm.bias"]
    tensors |= {"extra": torch.zeros(1), "head.bias": torch.zeros(3)}
    with pytest.raises(InvalidWeights) as told:
        import_timm(folder, kept(tmp_path / "x.safetensors", tensors), SMALL)
    assert str(told.value) == (
        f"{tmp_path / 'x.safetensors'} as timm's {SMALL} does not fit the model; missing: norm.bias; "
        "unexpected: extra; of another shape: head.bias is 3 where 1000 is needed."
    )
    assert not folder.path.exists()


def test_a_file_of_some_other_model_is_told_in_a_sentence(folder: WeightsStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidWeights, match=rf"as timm's {SMALL} does not fit the model; missing: blocks"):
        import_timm(folder, kept(tmp_path / "x.safetensors", {"visual.proj": torch.zeros(2, 2)}), SMALL)


def test_a_truncated_file_is_told_in_a_sentence(folder: WeightsStore, tmp_path: Path) -> None:
    file = kept(tmp_path / "x.safetensors", weights())
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(InvalidWeights, match=r"x\.safetensors is cut short; fetch or import it again"):
        import_timm(folder, file, SMALL)


def test_a_kept_file_that_changed_is_refused(folder: WeightsStore, tmp_path: Path) -> None:
    one = import_timm(folder, kept(tmp_path / "x.safetensors", weights()), SMALL)
    tensors = load_file(one.path)
    content = bytearray(one.path.read_bytes())
    content[-1] ^= 1
    one.path.write_bytes(content)
    with pytest.raises(InvalidWeights, match=rf"has sha256 .* fetch or import timm/{SMALL} again"):
        load_timm(asked(folder), CPU)
    assert tensors.keys() == weights().keys()


def test_without_weights_it_says_what_to_fetch_or_where_to_put_which_file(folder: WeightsStore) -> None:
    with pytest.raises(ModelUnavailable) as told:
        registry.load(asked(folder, "timm/vit_small_patch14_dinov2.lvd142m"), CPU)
    assert str(told.value) == (
        f"The weights of timm/vit_small_patch14_dinov2.lvd142m are not in {folder.path}; run andon weights fetch "
        "timm/vit_small_patch14_dinov2.lvd142m, or copy its model.safetensors here and run andon weights import FILE "
        "--timm vit_small_patch14_dinov2.lvd142m."
    )


@pytest.mark.parametrize("name", ["vit_smaall", "vit_small_patch14_dinov2.lvd"])
def test_a_name_timm_does_not_know_is_told_with_some_it_knows(folder: WeightsStore, name: str) -> None:
    with pytest.raises(UnknownBackbone, match=rf"timm knows no model {name}; it has .*dinov2"):
        registry.load(asked(folder, f"timm/{name}"), CPU)


@pytest.mark.parametrize("name", ["resnet18", "swin_tiny_patch4_window7_224"])
def test_a_network_without_patch_tokens_is_refused_by_name(folder: WeightsStore, name: str) -> None:
    with pytest.raises(UnsupportedBackbone, match=f"timm's {name} is no plain vision transformer"):
        registry.load(asked(folder, f"timm/{name}"), CPU)


def test_a_name_of_no_family_is_told_with_all_there_are() -> None:
    for name in ("timm", "timm/", "resnet"):
        with pytest.raises(UnknownBackbone, match=rf"no backbone '{name}'; .*andon-tiny.*openclip/MODEL or timm/MODEL"):
            registry.require_known(name)
    for name in ("andon-tiny", f"timm/{SMALL}", "openclip/ViT-B-16-plus-240"):
        registry.require_known(name)


def test_the_hubs_repository_is_the_models_own() -> None:
    assert repository_of("vit_small_patch14_dinov2") == "timm/vit_small_patch14_dinov2.lvd142m"
    assert repository_of("vit_pe_core_small_patch16_384.fb") == "timm/vit_pe_core_small_patch16_384.fb"


def test_methods_that_compare_patches_run_on_it() -> None:
    torch.manual_seed(0)
    detector = PatchDetector(NearestPatch(), TimmVit(build_timm(SMALL), SMALL, (4, 6), CPU, "fp32"), Framing())
    normals = [np.asarray(one) for one in tiny_pixels(3, 1, (90, 60)).permute(0, 2, 3, 1).numpy()]
    scores = detector.score(normals, detector.references(normals, "bolt"))
    assert scores.anomaly_maps.shape == (3, 10, 10)
    np.testing.assert_allclose(scores.image_scores, torch.zeros(3), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("name", "size", "grid", "prefix"),
    [
        ("vit_small_patch16_dinov3", (256, 256), (16, 16), 5),
        ("vit_pe_core_tiny_patch16_384", (384, 384), (24, 24), 1),
        ("vit_small_patch16_224", (224, 224), (14, 14), 1),
    ],
)
def test_transformers_at_full_size_give_their_patches(
    name: str, size: tuple[int, int], grid: tuple[int, int], prefix: int
) -> None:
    vit = TimmVit(build_timm(name), name, (12,), CPU, "fp32")
    assert (vit.size, vit.grid, vit.prefix_tokens, vit.depth) == (size, grid, prefix, 12)
    tokens = vit.tokens(tiny_pixels(1, 1, size))
    assert tokens.shape == (1, 1, grid[0] * grid[1], vit.width)
    assert torch.isfinite(tokens).all()
