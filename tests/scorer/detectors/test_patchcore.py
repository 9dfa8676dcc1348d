"""PatchCore against values computed by hand and with numpy."""

import math

import numpy as np
import pytest
import torch

from scorer.detectors import patchcore
from scorer.detectors.patch_based.method import leave_one_out_by_refitting
from scorer.detectors.patch_based.patches import Patches
from scorer.detectors.patchcore import NEIGHBOURS, WIDTH, PatchCore, neighbourhood_weight
from scorer.distances.euclidean import used_channels
from tests.scorer.detectors.patch_samples import patches, single_layer

pytestmark = pytest.mark.usefixtures("one_thread")


def locally_aware(images: Patches) -> torch.Tensor:
    return patchcore.locally_aware_patches(images, used_channels(images.tokens))


def test_locally_aware_patches_are_means_of_their_zero_padded_neighbourhood() -> None:
    images = single_layer(torch.arange(9.0).view(1, 9, 1), (3, 3))
    assert locally_aware(images)[0, 4, 0] == 4  # mean of 0 … 8
    torch.testing.assert_close(locally_aware(images)[0, 0, 0], torch.tensor(8 / 9))  # 0, 1, 3, 4 and five zeros
    without_last_row = Patches(images.tokens, torch.tensor([[True] * 6 + [False] * 3]), (3, 3))
    torch.testing.assert_close(locally_aware(without_last_row)[0, 4, 0], torch.tensor(15 / 9))  # 0 … 5 and three zeros


def test_layers_are_concatenated_and_wide_ones_pooled() -> None:
    assert locally_aware(patches(1, width=5, layers=2)).shape == (1, 16, 10)
    wide = single_layer(torch.arange(2.0 * WIDTH).expand(1, 1, -1), (1, 1))
    # The only patch, averaged with eight zeros around it.
    torch.testing.assert_close(locally_aware(wide)[0, 0], (torch.arange(WIDTH) * 2 + 0.5) / 9)


def test_the_neighbourhood_weight_equals_equation_7() -> None:
    coreset = torch.tensor([[0.0], [1.0], [3.0]])
    # The patch 5 is nearest to 3, whose neighbours are all three: distances 2 (3 itself), 4 and 5.
    by_hand = 1 - math.exp(2) / (math.exp(2) + math.exp(4) + math.exp(5))
    assert float(neighbourhood_weight(torch.tensor([5.0]), torch.tensor(2), coreset)) == pytest.approx(by_hand)
    assert float(neighbourhood_weight(torch.tensor([5.0]), torch.tensor(0), coreset[:1])) == 1


def test_only_the_nearest_neighbours_affect_the_weight() -> None:
    near = torch.arange(NEIGHBOURS).float()[:, None] / 10
    with_far = torch.cat([near, torch.full((5, 1), 1000.0)])
    patch = torch.tensor([-3.0])
    torch.testing.assert_close(
        neighbourhood_weight(patch, torch.tensor(0), with_far), neighbourhood_weight(patch, torch.tensor(0), near)
    )


def test_scores_equal_those_of_numpy() -> None:
    normals, queries = patches(3, layers=2, seed=1), patches(2, layers=2, seed=2)
    method = PatchCore(coreset_ratio=1.0)
    result = method.score(queries, method.fit(normals))
    coreset, query_patches = locally_aware(normals).flatten(0, 1).numpy(), locally_aware(queries).numpy()
    distances = np.linalg.norm(query_patches[:, :, None] - coreset, axis=-1)
    np.testing.assert_allclose(result.maps, distances.min(-1), rtol=1e-4)
    for index in range(2):
        patch = distances[index].min(-1).argmax()
        nearest = distances[index, patch].argmin()
        around = np.argsort(np.linalg.norm(coreset - coreset[nearest], axis=-1))[:NEIGHBOURS]
        share = np.exp(distances[index, patch, nearest]) / np.exp(distances[index, patch, around]).sum()
        np.testing.assert_allclose(result.image[index], (1 - share) * distances[index].min(-1).max(), rtol=1e-4)


def test_the_coreset_keeps_its_share_of_patches_and_their_owners() -> None:
    normals = patches(4, grid=(8, 8))
    fitted = PatchCore(coreset_ratio=0.25).fit(normals)
    assert fitted["coreset"].shape == (64, 6)
    everything = locally_aware(normals)
    for patch, owner in zip(fitted["coreset"], fitted["owners"], strict=True):
        assert (everything[owner] == patch).all(dim=1).any()


def test_leave_one_out_equals_refitting_when_all_patches_are_kept() -> None:
    normals = patches(4, padding=(0, 5))
    method = PatchCore(coreset_ratio=1.0)
    torch.testing.assert_close(
        method.leave_one_out(normals, method.fit(normals)), leave_one_out_by_refitting(method, normals)
    )


def test_leave_one_out_is_finite_for_a_normal_that_owns_the_whole_coreset() -> None:
    normals = single_layer(torch.cat([torch.randn(1, 64, 4), torch.zeros(1, 64, 4)]), (8, 8))
    method = PatchCore()
    fitted = method.fit(normals)
    assert set(fitted["owners"].tolist()) == {0}
    assert torch.isfinite(method.leave_one_out(normals, fitted)).all()


def test_padding_enters_neither_the_coreset_nor_neighbourhoods() -> None:
    method = PatchCore(coreset_ratio=1.0)
    fitted = method.fit(patches(2, padding=(0, 1, 2, 3)))
    assert len(fitted["coreset"]) == 24
    assert fitted["coreset"].abs().max() < 10
    result = method.score(patches(1, seed=3, padding=(0, 1, 2, 3)), fitted)
    assert result.maps[0, :4].tolist() == [0] * 4
    assert result.image[0] < 100
