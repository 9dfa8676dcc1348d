"""The built-in backbone: its outputs, and its error for a file of other weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from scorer.backbones.tiny import SHA256, WEIGHTS, TinyBackbone, load_tiny
from scorer.errors import InvalidWeights

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def backbone() -> TinyBackbone:
    return load_tiny("cpu")


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    generator = np.random.default_rng(0)
    smooth = generator.integers(0, 256, (5, 3, 8, 8), dtype=np.uint8)
    return torch.from_numpy(smooth.repeat(32, axis=2).repeat(32, axis=3))


def test_an_image_becomes_two_layers_of_sixteen_by_sixteen_patches(
    backbone: TinyBackbone, pixels: torch.Tensor
) -> None:
    tokens = backbone.tokens(pixels)

    assert tokens.shape == (2, 5, 256, 256)
    assert backbone.grid == (16, 16)
    assert backbone.size == (256, 256)


def test_the_second_layer_has_96_channels_padded_with_zeros(backbone: TinyBackbone, pixels: torch.Tensor) -> None:
    second = backbone.tokens(pixels)[1]

    assert (second[..., 96:] == 0).all()
    assert second[..., :96].std() > 0.1


def test_tokens_of_a_batch_equal_those_of_its_images(backbone: TinyBackbone, pixels: torch.Tensor) -> None:
    together = torch.nn.functional.normalize(backbone.tokens(pixels), dim=-1)
    single = torch.nn.functional.normalize(torch.cat([backbone.tokens(one[None]) for one in pixels], dim=1), dim=-1)

    torch.testing.assert_close(together, single, atol=1e-5, rtol=0)


def test_patches_are_in_row_major_order(backbone: TinyBackbone) -> None:
    dark = torch.zeros(1, 3, 256, 256, dtype=torch.uint8)
    marked = dark.clone()
    marked[..., 32:48, 192:208] = 255

    changed = (backbone.tokens(marked) - backbone.tokens(dark)).norm(dim=-1).view(2, 16, 16)

    for layer in changed:
        row, column = divmod(int(layer.argmax()), 16)
        assert abs(row - 2) <= 1
        assert abs(column - 12) <= 1


def test_the_packaged_weights_are_small_and_in_half_precision(backbone: TinyBackbone) -> None:
    assert WEIGHTS.stat().st_size <= 8_000_000
    assert {tensor.dtype for tensor in load_file(WEIGHTS).values()} == {torch.float16}
    assert backbone.weights_sha256 == SHA256


def test_a_truncated_file_is_refused_by_its_sha256(tmp_path: Path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(WEIGHTS.read_bytes()[:100_000])

    with pytest.raises(InvalidWeights):
        load_tiny("cpu", cut)
    with pytest.raises(InvalidWeights):
        load_tiny("cpu", cut, expected=None)


def test_a_file_of_another_network_is_refused_with_the_missing_tensors(tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    tensors = load_file(WEIGHTS)
    del tensors["conv1.bias"]
    save_file({**tensors, "surplus": torch.zeros(1)}, other)

    with pytest.raises(InvalidWeights, match=r"conv1\.bias.*surplus"):
        load_tiny("cpu", other, expected=None)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidWeights, match=r"absent\.safetensors"):
        load_tiny("cpu", tmp_path / "absent.safetensors")
