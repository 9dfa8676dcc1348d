"""Registration: the network's input, the warping of patches, and the shipped weights."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from scorer.detectors.patch_based.patches import Patches
from scorer.detectors.regad.registration import (
    MAX_SHIFT,
    SHA256,
    WEIGHTS,
    RegistrationNetwork,
    invert_affine,
    load_registration,
    similarity_maps,
    warp_maps,
    warp_patches,
)
from scorer.errors import InvalidWeights
from tests.scorer.detectors.patch_samples import patches, single_layer

pytestmark = pytest.mark.usefixtures("one_thread")

IDENTITY = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]])


def shift_by_one_cell(columns: int) -> torch.Tensor:
    """Return the transform that gives each cell the content of the cell to its left."""
    return torch.tensor([[[1.0, 0, -2 / columns], [0, 1, 0]]])


def test_an_untrained_network_predicts_the_identity() -> None:
    images = patches(3, grid=(8, 8), layers=2)
    transform = RegistrationNetwork()(similarity_maps(images))
    torch.testing.assert_close(transform, IDENTITY.expand(3, -1, -1))
    torch.testing.assert_close(warp_patches(images, transform).tokens, images.tokens, atol=1e-5, rtol=1e-5)


def test_patches_shift_by_cells_and_cells_from_outside_are_invalid() -> None:
    images = single_layer(torch.arange(16.0).view(1, 16, 1), (4, 4))
    shifted = warp_patches(images, shift_by_one_cell(4))
    assert shifted.valid_mask.view(4, 4)[:, 0].sum() == 0
    torch.testing.assert_close(shifted.tokens.view(4, 4)[:, 1:], torch.arange(16.0).view(4, 4)[:, :3])


def test_padding_shifts_with_the_patches_and_stays_invalid() -> None:
    valid_mask = torch.tensor([[True, True, False, False]] * 2).view(1, 8)
    tokens = torch.tensor([1.0, 2, 1e6, 1e6] * 2).view(1, 1, 8, 1)
    shifted = warp_patches(Patches(tokens, valid_mask, (2, 4)), shift_by_one_cell(4))
    assert shifted.valid_mask.view(2, 4).tolist() == [[False, True, True, False]] * 2
    torch.testing.assert_close(shifted.tokens.view(2, 4)[:, 1:3], torch.tensor([[1.0, 2.0]] * 2))


def test_the_inverse_transform_undoes_a_warp() -> None:
    maps = torch.nn.functional.avg_pool2d(torch.randn(1, 1, 20, 20, generator=torch.Generator().manual_seed(0)), 5, 1)
    transform = torch.tensor([[[0.95, -0.2, 0.1], [0.2, 0.95, -0.05]]])
    inside = torch.ones(1, 1, 16, 16, dtype=torch.bool)
    moved, coverage = warp_maps(maps, inside, transform)
    restored, _ = warp_maps(moved, coverage > 0.5, invert_affine(transform))
    middle = (slice(None), slice(None), slice(5, 11), slice(5, 11))
    torch.testing.assert_close(restored[middle], maps[middle], atol=0.1, rtol=0)


def test_similarity_maps_do_not_depend_on_scale_or_number_of_channels() -> None:
    images = patches(2, grid=(8, 8), width=6)
    longer = Patches(3 * images.tokens, images.valid_mask, (8, 8))
    rotation, _ = torch.linalg.qr(torch.randn(9, 9, generator=torch.Generator().manual_seed(1)))
    wider = Patches(images.tokens @ rotation[:6], images.valid_mask, (8, 8))
    torch.testing.assert_close(similarity_maps(longer), similarity_maps(images), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(similarity_maps(wider), similarity_maps(images), atol=1e-4, rtol=1e-4)


def test_padding_does_not_affect_similarity_maps() -> None:
    with_padding, with_other_padding = patches(1, padding=(0, 4)), patches(1, padding=(0, 4))
    with_other_padding.tokens[:, :, [0, 4]] = -7
    assert torch.equal(similarity_maps(with_padding), similarity_maps(with_other_padding))


def test_the_shipped_weights_load() -> None:
    network = load_registration()
    assert not network.training
    transform = network(similarity_maps(patches(4, grid=(16, 16), width=20)))
    assert transform.shape == (4, 2, 3)
    assert (transform[:, :, 2].abs() <= MAX_SHIFT).all()
    assert WEIGHTS.stat().st_size < 1_000_000
    assert len(SHA256) == 64


def test_weights_that_are_missing_changed_or_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "registration.safetensors"
    with pytest.raises(InvalidWeights, match=r"registration\.safetensors"):
        load_registration(path)
    path.write_bytes(WEIGHTS.read_bytes()[:-10])
    with pytest.raises(InvalidWeights):
        load_registration(path)
    with pytest.raises(InvalidWeights):
        load_registration(path, expected=None)
    path.write_bytes(save({"conv1.weight": torch.zeros(2)}))
    with pytest.raises(InvalidWeights):
        load_registration(path, expected=None)
