"""Registration: what the network sees, how patches are moved, and that it learns."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from scorer.detectors.patches import Patches
from scorer.detectors.regad import registration
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
from scorer.training.train_registration import (
    AlignedFeatures,
    RegistrationTrainingConfig,
    agreement,
    align_features,
    augmented_view,
    pairs,
    train,
)
from tests.scorer.detectors.patch_samples import of, patches

pytestmark = pytest.mark.usefixtures("one_thread")

STAY = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]])


def a_cell_to_the_right(columns: int) -> torch.Tensor:
    """Each cell takes what lies one cell to its left."""
    return torch.tensor([[[1.0, 0, -2 / columns], [0, 1, 0]]])


def test_an_untrained_network_leaves_pictures_where_they_are():
    pictures = patches(3, grid=(8, 8), layers=2)
    how = RegistrationNetwork()(similarity_maps(pictures))
    torch.testing.assert_close(how, STAY.expand(3, -1, -1))
    torch.testing.assert_close(warp_patches(pictures, how).tokens, pictures.tokens, atol=1e-5, rtol=1e-5)


def test_patches_move_by_cells_and_what_comes_from_outside_is_not_looked_at():
    pictures = of(torch.arange(16.0).view(1, 16, 1), (4, 4))
    shifted = warp_patches(pictures, a_cell_to_the_right(4))
    assert shifted.valid_mask.view(4, 4)[:, 0].sum() == 0
    torch.testing.assert_close(shifted.tokens.view(4, 4)[:, 1:], torch.arange(16.0).view(4, 4)[:, :3])


def test_bars_move_along_and_stay_out():
    valid_mask = torch.tensor([[True, True, False, False]] * 2).view(1, 8)
    tokens = torch.tensor([1.0, 2, 1e6, 1e6] * 2).view(1, 1, 8, 1)
    shifted = warp_patches(Patches(tokens, valid_mask, (2, 4)), a_cell_to_the_right(4))
    assert shifted.valid_mask.view(2, 4).tolist() == [[False, True, True, False]] * 2
    torch.testing.assert_close(shifted.tokens.view(2, 4)[:, 1:3], torch.tensor([[1.0, 2.0]] * 2))


def test_moving_back_undoes_a_move():
    maps = torch.nn.functional.avg_pool2d(torch.randn(1, 1, 20, 20, generator=torch.Generator().manual_seed(0)), 5, 1)
    how = torch.tensor([[[0.95, -0.2, 0.1], [0.2, 0.95, -0.05]]])
    inside = torch.ones(1, 1, 16, 16, dtype=torch.bool)
    there, share = warp_maps(maps, inside, how)
    back, _ = warp_maps(there, share > 0.5, invert_affine(how))
    middle = (slice(None), slice(None), slice(5, 11), slice(5, 11))
    torch.testing.assert_close(back[middle], maps[middle], atol=0.1, rtol=0)


def test_what_the_network_sees_does_not_depend_on_how_long_or_how_many_channels_are():
    pictures = patches(2, grid=(8, 8), width=6)
    longer = Patches(3 * pictures.tokens, pictures.valid_mask, (8, 8))
    turned, _ = torch.linalg.qr(torch.randn(9, 9, generator=torch.Generator().manual_seed(1)))
    wider = Patches(pictures.tokens @ turned[:6], pictures.valid_mask, (8, 8))
    torch.testing.assert_close(similarity_maps(longer), similarity_maps(pictures), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(similarity_maps(wider), similarity_maps(pictures), atol=1e-4, rtol=1e-4)


def test_bars_are_unseen():
    with_bars, otherwise = patches(1, bars=(0, 4)), patches(1, bars=(0, 4))
    otherwise.tokens[:, :, [0, 4]] = -7
    assert torch.equal(similarity_maps(with_bars), similarity_maps(otherwise))


def test_the_shipped_weights_are_those_of_the_code():
    network = load_registration()
    assert not network.training
    how = network(similarity_maps(patches(4, grid=(16, 16), width=20)))
    assert how.shape == (4, 2, 3)
    assert (how[:, :, 2].abs() <= MAX_SHIFT).all()
    assert WEIGHTS.stat().st_size < 1_000_000
    assert len(SHA256) == 64


def test_weights_that_are_missing_changed_or_of_another_network_are_refused(tmp_path):
    path = tmp_path / "registration.safetensors"
    with pytest.raises(InvalidWeights, match=r"are not at .*install the package again"):
        load_registration(path)
    path.write_bytes(WEIGHTS.read_bytes()[:-10])
    with pytest.raises(InvalidWeights, match="cut short or changed"):
        load_registration(path)
    with pytest.raises(InvalidWeights, match="no whole safetensors"):
        load_registration(path, expected=None)
    path.write_bytes(save({"conv1.weight": torch.zeros(2)}))
    with pytest.raises(InvalidWeights, match="missing"):
        load_registration(path, expected=None)


def test_pairs_agree_on_what_both_show():
    maps, inside = torch.randn(2, 3, 4, 4), torch.ones(2, 4, 4, dtype=torch.bool)
    elsewhere, hidden = maps.clone(), inside.clone()
    elsewhere[:, :, 0] *= -1
    same = AlignedFeatures(maps, inside, STAY)
    assert agreement(same, AlignedFeatures(elsewhere, inside, STAY)).item() == pytest.approx(
        0.5
    )  # one row of four opposite
    hidden[:, 0] = False
    assert agreement(same, AlignedFeatures(elsewhere, hidden, STAY)).item() == pytest.approx(1)


def test_a_view_of_no_change_is_the_middle_of_the_picture_in_another_light():
    grey = np.zeros((96, 96), np.uint8)
    grey[40:56, 40:56] = 200
    still = RegistrationTrainingConfig(most_turn=0, most_scale=1, most_shift=0)
    view = augmented_view(np.random.default_rng(0), Image.fromarray(grey).convert("RGB"), 64, still).astype(float)
    assert view.shape == (64, 64, 3)
    assert view[26:38, 26:38].mean() > view[:20].mean() + 100
    assert abs(view[24:40].mean() - view[:, 24:40].mean()) < 3


def test_pairs_are_two_views_of_one_category():
    first, second = pairs(np.random.default_rng(0), [3, 5], views=4, count=20)
    assert {one // 4 for one in first} == {3, 5}
    assert [one // 4 for one in first] == [one // 4 for one in second]
    assert all(one != other for one, other in zip(first, second, strict=True))


def test_training_brings_shifted_squares_together():
    """Categories differ in what the square is made of, views in where it lies."""
    recipe = RegistrationTrainingConfig(categories=12, views=4, batch=8, steps=200, held_out=0.2)
    draw = np.random.default_rng(0)
    tokens = torch.zeros(1, 48, 64, 8)
    tokens[..., 0] = 1
    for number in range(48):
        row, column = draw.integers(0, 5, 2)
        laid_out = tokens[0, number].view(8, 8, 8)
        laid_out[row : row + 4, column : column + 4] = torch.eye(8)[1 + number // 4 % 7]
    pictures = Patches(tokens, torch.ones(48, 64, dtype=torch.bool), (8, 8))
    network = train(pictures, recipe)
    alike = [pictures.take([place for place in range(48) if place % 4 == view]) for view in (0, 1)]
    as_they_come = agreement(*(align_features(RegistrationNetwork(), view) for view in alike)).item()
    assert agreement(*(align_features(network, view) for view in alike)).item() > as_they_come + 0.015


def test_the_network_is_as_good_on_a_grid_that_is_not_square():
    network = registration.load_registration()
    how = network(similarity_maps(patches(1, grid=(4, 16), width=20)), aspect=4 / 16)
    straight = how[0, :, :2]
    in_cells = torch.diag(torch.tensor([16.0, 4])) @ straight @ torch.diag(1 / torch.tensor([16.0, 4]))
    torch.testing.assert_close(in_cells @ in_cells.T, torch.eye(2) * in_cells.det(), atol=1e-5, rtol=0)
