"""PaDiM against a computation with numpy's matrix inverse."""

import numpy as np
import pytest
import torch

from scorer.detectors.padim import CHANNELS, REGULARISATION, Padim, select_channels, smooth_maps
from scorer.detectors.patch_based.method import leave_one_out_by_refitting
from scorer.detectors.patch_based.patches import Patches
from tests.scorer.detectors.patch_samples import patches, single_layer

pytestmark = pytest.mark.usefixtures("one_thread")


def mahalanobis_by_numpy(normals: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Return the distance of each cell, (P,), from normals (K, P, D) and a query (P, D), with one inverse per cell."""
    distances = []
    for cell in range(normals.shape[1]):
        deviations = normals[:, cell] - normals[:, cell].mean(axis=0)
        covariance = deviations.T @ deviations / max(len(normals) - 1, 1) + REGULARISATION * np.eye(normals.shape[2])
        difference = query[cell] - normals[:, cell].mean(axis=0)
        distances.append(np.sqrt(difference @ np.linalg.inv(covariance) @ difference))
    return np.array(distances)


@pytest.mark.parametrize("count", [1, 2, 4, 12])
def test_distances_equal_mahalanobis_distances_of_numpy(count: int) -> None:
    normals, queries = patches(count, seed=1), patches(2, seed=2)
    method = Padim()
    result = method.score(queries, method.fit(normals))
    for index in range(2):
        by_numpy = mahalanobis_by_numpy(normals.tokens[0].double().numpy(), queries.tokens[0, index].double().numpy())
        np.testing.assert_allclose(result.maps[index], by_numpy, rtol=1e-4)
        assert float(result.image[index]) == pytest.approx(by_numpy.max(), rel=1e-4)


@pytest.mark.parametrize("count", [2, 3, 4, 12])
def test_leave_one_out_equals_refitting_on_the_others(count: int) -> None:
    normals = patches(count, seed=3, padding=(2,))
    method = Padim()
    closed = method.leave_one_out(normals, method.fit(normals))
    torch.testing.assert_close(closed, leave_one_out_by_refitting(method, normals), rtol=1e-4, atol=1e-4)


def test_maps_are_smoothed_with_a_sigma_of_4_of_256_pixels() -> None:
    impulse = torch.zeros(1, 64 * 64)
    impulse[0, 30 * 64 + 30] = 1
    # On a grid of 64 × 64, one cell is one standard deviation wide.
    smoothed = smooth_maps(impulse, torch.ones_like(impulse, dtype=torch.bool), (64, 64)).view(64, 64)
    kernel = np.exp(-0.5 * np.arange(-4, 5) ** 2)
    expected = np.outer(kernel, kernel) / kernel.sum() ** 2
    np.testing.assert_allclose(smoothed[26:35, 26:35], expected, rtol=1e-4)
    coarse = torch.rand(1, 256)
    torch.testing.assert_close(smooth_maps(coarse, coarse >= 0, (16, 16)), coarse, atol=2e-3, rtol=0)


def test_invalid_cells_do_not_affect_smoothing() -> None:
    valid_mask = torch.arange(64 * 64)[None] % 64 < 32
    smoothed = smooth_maps(torch.where(valid_mask, 1.0, 1000.0), valid_mask, (64, 64))
    torch.testing.assert_close(smoothed, valid_mask.float())


def test_equal_normals_have_no_distance() -> None:
    normals = single_layer(torch.ones(3, 4, 5), (2, 2))
    method = Padim()
    fitted = method.fit(normals)
    assert method.leave_one_out(normals, fitted).tolist() == [0, 0, 0]
    result = method.score(single_layer(torch.ones(1, 4, 5) + 0.1, (2, 2)), fitted)
    torch.testing.assert_close(result.maps, torch.full((1, 4), (5 * 0.01 / REGULARISATION) ** 0.5))


def test_cells_without_normals_use_the_nearest_valid_cell() -> None:
    tokens = torch.arange(4.0).view(1, 4, 1).expand(3, 4, 2) + torch.randn(3, 1, 2)
    normals = Patches(tokens[None], torch.tensor([[True, True, False, False]] * 3), (1, 4))
    fitted = Padim().fit(normals)
    torch.testing.assert_close(fitted["means"][2], fitted["means"][1])
    torch.testing.assert_close(fitted["means"][3], fitted["means"][1])


def test_leave_one_out_ignores_cells_valid_in_one_normal_alone() -> None:
    valid_mask = torch.tensor([[True, True], [True, False], [True, False]])
    tokens = torch.zeros(3, 2, 2)
    tokens[0, 1] = 1000  # valid only in the first image
    normals = Patches(tokens[None], valid_mask, (1, 2))
    method = Padim()
    assert method.leave_one_out(normals, method.fit(normals)).tolist() == [0, 0, 0]


def test_channels_are_selected_by_seed_and_never_from_padding() -> None:
    tokens = torch.randn(2, 3, 4, 90)
    tokens[1, :, :, 60:] = 0
    chosen = select_channels(tokens)
    assert len(chosen) == CHANNELS
    assert torch.equal(chosen, select_channels(tokens + (tokens != 0)))
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    assert chosen.max() < 90 + 60
    assert len(select_channels(tokens[:1])) == 90
