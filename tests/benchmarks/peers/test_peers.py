"""Both sides of `benchmarks.peers` get the same input; the rest of it needs anomalib's environment."""

from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest
import timm
import torch
from safetensors.torch import load_file

from benchmarks.peers.anomalib_process import Anomalib
from benchmarks.peers.dataset import write_images
from benchmarks.peers.methods import OFFSETS, anomalib_options, build_detectors
from benchmarks.peers.resnet_backbone import ResnetBackbone, load_weight_arrays, to_timm_state_dict
from benchmarks.peers.speed import IMAGES_PER_TURN, time_in_turns
from scorer.detectors.protocol import References

Arrays = dict[str, npt.NDArray[np.float32]]

pytestmark = pytest.mark.usefixtures("one_thread")

MEAN, DEVIATION = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    return load_weight_arrays(None)


def test_the_timm_network_with_the_same_weights_gives_the_same_maps(arrays: Arrays) -> None:
    network = timm.create_model("resnet18", pretrained=False, features_only=True, out_indices=(1, 2, 3)).eval()
    lacking = network.load_state_dict(to_timm_state_dict(arrays), strict=False)
    assert not lacking.unexpected_keys
    assert all("num_batches_tracked" in key or key.startswith("layer4") for key in lacking.missing_keys)
    pixels = torch.randint(0, 256, (1, 3, 256, 256), dtype=torch.uint8)
    with torch.inference_mode():
        theirs = network((pixels / 255 - MEAN) / DEVIATION)
    ours = ResnetBackbone(arrays, (1, 2, 3), "nearest").maps(pixels)
    for our_maps, their_maps in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our_maps, their_maps, atol=1e-3, rtol=1e-3)


def test_tokens_are_the_maps_on_the_first_layers_grid_padded_with_zeros(arrays: Arrays) -> None:
    backbone = ResnetBackbone(arrays, (2, 3), "nearest")
    pixels = torch.randint(0, 256, (2, 3, 256, 256), dtype=torch.uint8)
    fine, coarse = backbone.maps(pixels)
    tokens = backbone.tokens(pixels)
    assert tokens.shape == (2, 2, 32 * 32, 256)
    assert torch.equal(tokens[0, 1, 5 * 32 + 7, :128], fine[1, :, 5, 7])
    assert not tokens[0, :, :, 128:].any()
    assert torch.equal(tokens[1, 1, 5 * 32 + 7], coarse[1, :, 2, 3])


def test_a_layer_is_averaged_on_its_own_grid_before_it_is_resampled(arrays: Arrays) -> None:
    pixels = torch.randint(0, 256, (1, 3, 256, 256), dtype=torch.uint8)
    _, coarse = ResnetBackbone(arrays, (2, 3), "nearest").maps(pixels)
    tokens = ResnetBackbone(arrays, (2, 3), "nearest", neighbourhood=3).tokens(pixels)
    around = coarse[0, :, 1:4, 2:5].mean(dim=(1, 2))  # of the coarse cell in row 2, column 3
    torch.testing.assert_close(tokens[1, 0, 5 * 32 + 7], around)


def test_anomalib_uses_the_same_channels_in_its_own_numbering() -> None:
    chosen = {"channels": torch.tensor([3, 256 + 5, 512 + 7])}  # channel 3 of layer1, 5 of layer2, 7 of layer3
    options = anomalib_options("padim", References("id", chosen, ()))
    assert options["channels"] == [3, OFFSETS[2] + 5, OFFSETS[3] + 7]
    assert options["layers"] == ["layer1", "layer2", "layer3"]


def test_both_methods_score_on_random_weights(arrays: Arrays) -> None:
    generator = np.random.default_rng(0)
    normals = [generator.integers(0, 256, (256, 256, 3)).astype(np.uint8) for _ in range(3)]
    for detector in build_detectors(arrays).values():
        scores = detector.score(normals[:1], detector.references(normals[1:], "part"))
        assert np.isfinite(scores.image_scores).all()


def test_images_are_written_in_network_layout(tmp_path: Path) -> None:
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    assert write_images(tmp_path, "set", [image], [image, image]) == "set"
    found = load_file(tmp_path / "set.safetensors")
    assert found["tested"].shape == (2, 3, 4, 6)
    assert (found["normals"][0].permute(1, 2, 0).numpy() == image).all()


def test_rounds_alternate_and_the_fastest_counts() -> None:
    calls: list[str] = []

    class FakeAnomalib:
        def ask(self, request: dict[str, object]) -> dict[str, float]:
            calls.append("theirs")
            return {"ms": 90.0 - len(calls), "processor_ms": 10.0}

    speed = time_in_turns("winclip", lambda _: calls.append("ours"), cast(Anomalib, FakeAnomalib()), {}, rounds=2)
    assert calls == (["ours"] * IMAGES_PER_TURN + ["theirs"] * IMAGES_PER_TURN) * 2
    assert (speed.anomalib_ms, speed.anomalib_processor_ms, speed.goal) == (90 - len(calls), 10, 1.3)
    assert speed.ratio == speed.anomalib_ms / speed.ours_ms
