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
def store(tmp_path: Path) -> WeightsStore:
    return WeightsStore(tmp_path / "weights")


def oblong_transformer() -> Any:
    """A transformer with four register tokens over an oblong image, whose prefix must not become patches."""
    torch.manual_seed(0)
    network: Any = VisionTransformer((28, 42), 14, embed_dim=24, depth=4, num_heads=2, reg_tokens=4, num_classes=0)
    network.pretrained_cfg = {"mean": (0.5, 0.4, 0.3), "std": (0.1, 0.2, 0.3)}
    return network


def random_weights(seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return dict(build_timm(SMALL).state_dict())


def write_weights(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    save_file(tensors, path)
    return path


def settings_for(store: WeightsStore, name: str = f"timm/{SMALL}", blocks: str = "") -> ScorerSettings:
    return ScorerSettings(
        engine="torch", backbone=name, backbone_blocks=blocks, weights_path=store.path, device="cpu", precision="fp32"
    )


def test_grid_size_depth_width_and_prefix_are_those_of_the_model() -> None:
    vit = TimmVit(oblong_transformer(), "oblong", (2, 4), CPU, "fp32")
    assert (vit.size, vit.grid, vit.depth, vit.width, vit.prefix_tokens) == ((28, 42), (2, 3), 4, 24, 5)
    assert vit.tokens(tiny_pixels(2, 1, (28, 42))).shape == (2, 2, 6, 24)


def test_the_tokens_of_the_last_block_are_the_features_after_the_prefix() -> None:
    network = oblong_transformer()
    pixels = tiny_pixels(3, 1, (28, 42))
    mean, std = (torch.tensor(network.pretrained_cfg[part]).view(3, 1, 1) for part in ("mean", "std"))
    with torch.no_grad():
        features = network.eval().forward_features((pixels / 255 - mean) / std)
    torch.testing.assert_close(TimmVit(network, "oblong", (4,), CPU, "fp32").tokens(pixels)[0], features[:, 5:])


def test_tokens_of_a_batch_equal_those_of_its_images() -> None:
    vit: PatchBackbone = TimmVit(oblong_transformer(), "oblong", (1, 3, 4), CPU, "fp32")
    pixels = tiny_pixels(5, 1, (28, 42))
    singles = torch.cat([vit.tokens(image[None]) for image in pixels], dim=1)
    torch.testing.assert_close(vit.tokens(pixels), singles, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("depth", "blocks"), [(12, (7, 9, 11)), (24, (14, 18, 22)), (40, (23, 30, 37)), (6, (4, 6)), (2, (1, 2)), (1, (1,))]
)
def test_default_blocks_are_at_7_9_and_11_twelfths_of_the_depth(depth: int, blocks: tuple[int, ...]) -> None:
    assert select_blocks("", depth, "it") == blocks


def test_invalid_blocks_are_refused_with_the_available_ones() -> None:
    assert select_blocks("12, 3", 12, "it") == (3, 12)
    for wrong in ("13", "0", "a", "1,,2", "-1", "1.5"):
        with pytest.raises(UnsupportedBackbone, match=r"backbone_blocks.*1 to 12"):
            select_blocks(wrong, 12, "it")


def test_blocks_are_refused_for_a_backbone_without_blocks() -> None:
    with pytest.raises(UnsupportedBackbone, match=r"backbone_blocks.*andon-tiny"):
        registry.load(ScorerSettings(backbone_blocks="3"), CPU)


def test_a_file_is_stored_and_loaded_by_its_timm_name(store: WeightsStore, tmp_path: Path) -> None:
    tensors = random_weights()
    stored = import_timm(store, write_weights(tmp_path / "model.safetensors", tensors), SMALL)
    assert (stored.card.name, stored.card.kind, stored.card.source) == (f"timm/{SMALL}", "timm", "model.safetensors")
    backbone = registry.load(settings_for(store), CPU)
    assert (backbone.name, backbone.weights_sha256, backbone.grid) == (f"timm/{SMALL}", stored.sha256, (10, 10))
    direct = build_timm(SMALL)
    direct.load_state_dict(tensors)
    pixels = tiny_pixels(1, 1, (160, 160))
    torch.testing.assert_close(backbone.tokens(pixels), TimmVit(direct, "it", (4, 6), CPU, "fp32").tokens(pixels))


def test_references_in_bf16_select_the_same_coreset_as_in_fp32(store: WeightsStore, tmp_path: Path) -> None:
    import_timm(store, write_weights(tmp_path / "model.safetensors", random_weights()), SMALL)
    images = list(tiny_pixels(7, 3, (160, 160)).permute(0, 2, 3, 1).contiguous().numpy())
    coresets = []
    for precision in ("fp32", "bf16"):
        settings = settings_for(store).model_copy(update={"detector": "patchcore", "precision": precision})
        coresets.append(detectors.load(settings, Framing("stretch")).references(images, "part").tensors["coreset"])
    assert torch.equal(*coresets)


def test_the_tag_may_be_omitted_unless_there_are_several(store: WeightsStore, tmp_path: Path) -> None:
    file = write_weights(tmp_path / "model.safetensors", random_weights())
    import_timm(store, file, "test_vit")
    assert load_timm(settings_for(store, "timm/test_vit"), CPU).name == f"timm/{SMALL}"
    import_timm(store, file, SMALL, tag="ours")
    assert load_timm(settings_for(store, "timm/test_vit.ours"), CPU).name == "timm/test_vit.ours"
    with pytest.raises(ModelUnavailable, match=r"timm/test_vit\.ours, timm/test_vit\.r160_in1k"):
        load_timm(settings_for(store, "timm/test_vit"), CPU)


def test_a_stored_file_can_be_imported_into_another_store(store: WeightsStore, tmp_path: Path) -> None:
    from scorer.backbones.weights.import_openclip import ImportOptions, import_file

    stored = import_timm(store, write_weights(tmp_path / "model.safetensors", random_weights()), SMALL)
    assert import_file(WeightsStore(tmp_path / "elsewhere"), stored.path, ImportOptions())[0].sha256 == stored.sha256


def test_missing_surplus_and_misshapen_tensors_are_named_and_nothing_is_stored(
    store: WeightsStore, tmp_path: Path
) -> None:
    tensors = random_weights()
    del tensors["norm.bias"]
    tensors |= {"extra": torch.zeros(1), "head.bias": torch.zeros(3)}
    with pytest.raises(InvalidWeights) as caught:
        import_timm(store, write_weights(tmp_path / "x.safetensors", tensors), SMALL)
    assert str(caught.value) == (
        f"{tmp_path / 'x.safetensors'} as timm's {SMALL} does not fit the model; missing: norm.bias; "
        "unexpected: extra; of another shape: head.bias is 3 where 1000 is needed."
    )
    assert not store.path.exists()


def test_a_file_of_another_model_is_refused(store: WeightsStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidWeights, match=rf"{SMALL}.*blocks"):
        import_timm(store, write_weights(tmp_path / "x.safetensors", {"visual.proj": torch.zeros(2, 2)}), SMALL)


def test_a_truncated_file_is_refused(store: WeightsStore, tmp_path: Path) -> None:
    file = write_weights(tmp_path / "x.safetensors", random_weights())
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(InvalidWeights, match=r"x\.safetensors"):
        import_timm(store, file, SMALL)


def test_a_modified_stored_file_is_refused(store: WeightsStore, tmp_path: Path) -> None:
    stored = import_timm(store, write_weights(tmp_path / "x.safetensors", random_weights()), SMALL)
    tensors = load_file(stored.path)
    content = bytearray(stored.path.read_bytes())
    content[-1] ^= 1
    stored.path.write_bytes(content)
    with pytest.raises(InvalidWeights, match=rf"timm/{SMALL}"):
        load_timm(settings_for(store), CPU)
    assert tensors.keys() == random_weights().keys()


def test_missing_weights_name_the_fetch_and_import_commands(store: WeightsStore) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        registry.load(settings_for(store, "timm/vit_small_patch14_dinov2.lvd142m"), CPU)
    assert str(caught.value) == (
        f"The weights of timm/vit_small_patch14_dinov2.lvd142m are not in {store.path}; run andon weights fetch "
        "timm/vit_small_patch14_dinov2.lvd142m, or copy its model.safetensors here and run andon weights import FILE "
        "--timm vit_small_patch14_dinov2.lvd142m."
    )


@pytest.mark.parametrize("name", ["vit_smaall", "vit_small_patch14_dinov2.lvd"])
def test_an_unknown_timm_model_is_refused_with_similar_names(store: WeightsStore, name: str) -> None:
    with pytest.raises(UnknownBackbone, match=rf"{name}.*dinov2"):
        registry.load(settings_for(store, f"timm/{name}"), CPU)


@pytest.mark.parametrize("name", ["resnet18", "swin_tiny_patch4_window7_224"])
def test_a_network_without_patch_tokens_is_refused_by_name(store: WeightsStore, name: str) -> None:
    with pytest.raises(UnsupportedBackbone, match=name):
        registry.load(settings_for(store, f"timm/{name}"), CPU)


def test_an_unknown_backbone_is_refused_with_the_known_ones() -> None:
    for name in ("timm", "timm/", "resnet"):
        with pytest.raises(UnknownBackbone, match=rf"'{name}'.*andon-tiny"):
            registry.require_known(name)
    for name in ("andon-tiny", f"timm/{SMALL}", "openclip/ViT-B-16-plus-240"):
        registry.require_known(name)


def test_the_hub_repository_is_that_of_the_model() -> None:
    assert repository_of("vit_small_patch14_dinov2") == "timm/vit_small_patch14_dinov2.lvd142m"
    assert repository_of("vit_pe_core_small_patch16_384.fb") == "timm/vit_pe_core_small_patch16_384.fb"


def test_patch_methods_run_on_a_timm_transformer() -> None:
    torch.manual_seed(0)
    detector = PatchDetector(NearestPatch(), TimmVit(build_timm(SMALL), SMALL, (4, 6), CPU, "fp32"), Framing())
    normals = [np.asarray(image) for image in tiny_pixels(3, 1, (90, 60)).permute(0, 2, 3, 1).numpy()]
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
def test_full_size_transformers_give_their_patches(
    name: str, size: tuple[int, int], grid: tuple[int, int], prefix: int
) -> None:
    vit = TimmVit(build_timm(name), name, (12,), CPU, "fp32")
    assert (vit.size, vit.grid, vit.prefix_tokens, vit.depth) == (size, grid, prefix, 12)
    tokens = vit.tokens(tiny_pixels(1, 1, size))
    assert tokens.shape == (1, 1, grid[0] * grid[1], vit.width)
    assert torch.isfinite(tokens).all()
