"""Training of RegAD's registration: the loss, the views and that it learns."""

import numpy as np
import pytest
import torch
from PIL import Image

from scorer.detectors.patch_based.patches import Patches
from scorer.detectors.regad.registration import RegistrationNetwork
from scorer.training.train_registration import (
    AlignedFeatures,
    RegistrationTrainingConfig,
    align_features,
    augmented_view,
    mean_cosine,
    sample_pairs,
    train_registration,
)

pytestmark = pytest.mark.usefixtures("one_thread")

IDENTITY = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]])


def test_the_mean_cosine_counts_the_positions_that_both_images_show() -> None:
    maps, valid_mask = torch.randn(2, 3, 4, 4), torch.ones(2, 4, 4, dtype=torch.bool)
    opposite, partly_masked = maps.clone(), valid_mask.clone()
    opposite[:, :, 0] *= -1  # one row of four
    same = AlignedFeatures(maps, valid_mask, IDENTITY)
    assert mean_cosine(same, AlignedFeatures(opposite, valid_mask, IDENTITY)).item() == pytest.approx(0.5)
    partly_masked[:, 0] = False
    assert mean_cosine(same, AlignedFeatures(opposite, partly_masked, IDENTITY)).item() == pytest.approx(1)


def test_a_view_without_a_transform_is_the_middle_of_the_image_in_another_light() -> None:
    grey = np.zeros((96, 96), np.uint8)
    grey[40:56, 40:56] = 200
    config = RegistrationTrainingConfig(max_rotation=0, max_scale=1, max_shift=0)
    image = Image.fromarray(grey).convert("RGB")
    view = augmented_view(np.random.default_rng(0), image, 64, config).astype(float)
    assert view.shape == (64, 64, 3)
    assert view[26:38, 26:38].mean() > view[:20].mean() + 100
    assert abs(view[24:40].mean() - view[:, 24:40].mean()) < 3


def test_pairs_are_two_views_of_one_category() -> None:
    first, second = sample_pairs(np.random.default_rng(0), [3, 5], views=4, count=20)
    assert {index // 4 for index in first} == {3, 5}
    assert [index // 4 for index in first] == [index // 4 for index in second]
    assert all(one != other for one, other in zip(first, second, strict=True))


def test_training_aligns_shifted_squares() -> None:
    """Categories differ in the square's features, views in its position."""
    config = RegistrationTrainingConfig(categories=12, views=4, batch=8, steps=200, held_out=0.2)
    generator = np.random.default_rng(0)
    tokens = torch.zeros(1, 48, 64, 8)
    tokens[..., 0] = 1
    for number in range(48):
        row, column = generator.integers(0, 5, 2)
        grid = tokens[0, number].view(8, 8, 8)
        grid[row : row + 4, column : column + 4] = torch.eye(8)[1 + number // 4 % 7]
    patches = Patches(tokens, torch.ones(48, 64, dtype=torch.bool), (8, 8))
    network = train_registration(patches, config)
    views = [patches.take([index for index in range(48) if index % 4 == view]) for view in (0, 1)]
    untrained = mean_cosine(*(align_features(RegistrationNetwork(), view) for view in views)).item()
    assert mean_cosine(*(align_features(network, view) for view in views)).item() > untrained + 0.015
