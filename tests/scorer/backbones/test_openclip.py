from typing import Any

import numpy as np
import pytest
import torch

from scorer.backbones.clip_architecture import Architecture, build_network, find_architecture
from scorer.backbones.openclip import OpenClip, OpenClipPatches
from scorer.backbones.protocol import PatchBackbone
from scorer.detectors.nearest_patch import NearestPatch
from scorer.detectors.patch_based.detector import PatchDetector
from scorer.engines.precision import dtype_for, has_fast_bf16
from scorer.errors import InvalidWeights, ModelUnavailable
from scorer.imaging.framing import Framing
from tests.scorer.backbones.tiny_clip import CONFIG, tiny_architecture, tiny_backbone, tiny_pixels

CPU = torch.device("cpu")

pytestmark = pytest.mark.usefixtures("one_thread")


def test_grid_depth_and_width_are_those_of_the_model() -> None:
    backbone = tiny_backbone()
    assert (backbone.image_size, backbone.grid, backbone.blocks, backbone.embedding_width) == ((24, 32), (3, 4), 4, 16)


def test_requesting_tokens_does_not_change_the_embedding() -> None:
    backbone = tiny_backbone()
    images = backbone.normalised(tiny_pixels(2, seed=1))
    encoded = backbone.encode_images(images, (1, 4))
    assert encoded.tokens.shape == (2, 2, 12, 24)
    torch.testing.assert_close(encoded.embedding, backbone.embed_images(images), atol=1e-6, rtol=0)


def test_blocks_are_counted_from_one() -> None:
    backbone = tiny_backbone()
    outputs: list[torch.Tensor] = []
    network: Any = backbone.network
    hook = network.visual.transformer.resblocks[2].register_forward_hook(lambda _m, _i, out: outputs.append(out))
    images = backbone.normalised(tiny_pixels(1, seed=1))
    backbone.embed_images(images)
    hook.remove()
    torch.testing.assert_close(backbone.encode_images(images, (3,)).tokens[0], outputs[0][:, 1:])


def test_cropping_text_padding_does_not_change_embeddings() -> None:
    backbone = tiny_backbone()
    texts = ["a", "a photo of the flawless metal nut for visual inspection.", "word " * 40]
    network: Any = backbone.network
    unpadded = network.encode_text(backbone._tokenizer()(texts))
    torch.testing.assert_close(backbone.encode_texts(texts), unpadded, atol=1e-5, rtol=1e-5)


def test_the_text_tower_stays_in_fp32_where_the_image_tower_is_bf16() -> None:
    backbone = OpenClip(build_network(tiny_architecture()), tiny_architecture(), CPU, "bf16")
    network: Any = backbone.network
    assert network.visual.conv1.weight.dtype == torch.bfloat16
    assert network.token_embedding.weight.dtype == torch.float32
    encoded = backbone.encode_images(backbone.normalised(tiny_pixels(1, seed=1)), (4,))
    assert encoded.tokens.dtype == encoded.embedding.dtype == torch.float32


def test_auto_precision_is_bf16_only_where_it_is_fast() -> None:
    assert dtype_for("auto", CPU) == (torch.bfloat16 if has_fast_bf16(CPU) else torch.float32)


def test_missing_surplus_and_misshapen_tensors_are_named() -> None:
    tensors = dict(tiny_backbone().network.state_dict())
    del tensors["visual.proj"], tensors["logit_scale"]
    tensors["visual.extra"] = torch.zeros(1)
    tensors["ln_final.bias"] = torch.zeros(3)
    with pytest.raises(InvalidWeights) as caught:
        OpenClip.of(tiny_architecture(), tensors, "it.pt", CPU)
    assert str(caught.value) == (
        "it.pt does not fit the model; missing: visual.proj; unexpected: visual.extra; "
        "of another shape: ln_final.bias is 3 where 16 is needed."
    )


def test_an_unknown_model_is_refused_with_similar_names() -> None:
    with pytest.raises(ModelUnavailable, match=r"ViT-B-16-plus-24\b.*ViT-B-16-plus-240"):
        find_architecture("ViT-B-16-plus-24")


def test_a_tower_without_patch_tokens_is_refused_by_name() -> None:
    resnet = {**CONFIG, "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8}}
    with pytest.raises(ModelUnavailable, match="RN tiny"):
        OpenClip(build_network(Architecture("RN tiny", resnet)), Architecture("RN tiny", resnet), CPU)


def test_a_tag_has_its_own_activation_and_normalisation() -> None:
    assert find_architecture("ViT-B-32", "openai").config["quick_gelu"] is True
    assert find_architecture("ViT-B-16-SigLIP", "webli").mean == (0.5, 0.5, 0.5)


def test_the_image_tower_is_a_patch_backbone() -> None:
    backbone: PatchBackbone = OpenClipPatches(tiny_backbone(), (1, 4), "sha256")
    detector = PatchDetector(NearestPatch(), backbone, Framing("stretch"))
    normals = list(tiny_pixels(3, seed=1).permute(0, 2, 3, 1).numpy())
    scores = detector.score(normals, detector.references(normals, "bolt"))
    np.testing.assert_allclose(scores.anomaly_maps, np.zeros((3, 3, 4)), atol=1e-6, rtol=0)
