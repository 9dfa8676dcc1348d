"""SubspaceAD against a computation with numpy's singular value decomposition."""

import numpy as np
import pytest
import torch

from scorer.detectors.patch_based.method import leave_one_out_by_refitting
from scorer.detectors.subspacead import EXPLAINED_VARIANCE, SubspaceAD, fit_subspace, patch_moments
from tests.scorer.detectors.patch_samples import patches

pytestmark = pytest.mark.usefixtures("one_thread")


def residuals_by_numpy(normals: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Return the relative residual of each query, (M,), from normals (N, W) and queries (M, W)."""
    normals, queries = (tokens / np.linalg.norm(tokens, axis=1, keepdims=True) for tokens in (normals, queries))
    deviations = normals - normals.mean(axis=0)
    _, lengths, axes = np.linalg.svd(deviations, full_matrices=False)
    shares = np.cumsum(lengths**2) / np.sum(lengths**2)
    leading = axes[: int(np.searchsorted(shares, EXPLAINED_VARIANCE)) + 1]
    outside = queries - normals.mean(axis=0)
    outside = outside - outside @ leading.T @ leading
    residuals: np.ndarray = (outside**2).sum(axis=1) / (np.sum(lengths**2) / len(normals))
    return residuals


def test_the_map_is_the_mean_residual_of_the_layers() -> None:
    normals, queries = patches(5, width=12, layers=2, seed=1, copies=2), patches(2, width=12, layers=2, seed=2)
    normals.tokens[..., 6:] *= 0.1  # so that a few axes explain nearly all variance
    result = SubspaceAD().score(queries, SubspaceAD().fit(normals))
    for index in range(2):
        by_numpy = [
            residuals_by_numpy(layer.flatten(0, 1).double().numpy(), query.double().numpy())
            for layer, query in zip(normals.tokens, queries.tokens[:, index], strict=True)
        ]
        np.testing.assert_allclose(result.maps[index], np.mean(by_numpy, axis=0), rtol=1e-4)
        assert float(result.image[index]) == pytest.approx(float(result.maps[index].max()))  # 1 % of 16 is one patch


def test_the_fewest_axes_that_explain_the_variance_are_kept() -> None:
    normals = patches(4, width=10)
    subspace = fit_subspace(patch_moments(normals.tokens[0], normals.valid_mask))
    unit = torch.nn.functional.normalize(normals.tokens[0].flatten(0, 1), dim=1) - subspace.mean
    explained = (unit @ subspace.axes.T).square().sum(dim=0) / unit.square().sum()
    assert explained.sum() >= EXPLAINED_VARIANCE > explained[:-1].sum()
    torch.testing.assert_close(subspace.axes @ subspace.axes.T, torch.eye(len(subspace.axes)), atol=1e-5, rtol=0)


def test_leave_one_out_equals_refitting_on_the_others() -> None:
    normals = patches(4, width=10, layers=2, padding=(1, 2), copies=3)
    method = SubspaceAD()
    torch.testing.assert_close(
        method.leave_one_out(normals, method.fit(normals)), leave_one_out_by_refitting(method, normals)
    )


def test_normals_without_variance_have_no_axes() -> None:
    normals = patches(2)
    normals.tokens[:] = torch.tensor([1.0, 0, 0, 0, 0, 0])
    fitted = SubspaceAD().fit(normals)
    assert fitted["axes 0"].shape == (0, 6)
    assert SubspaceAD().score(normals, fitted).image.max() == 0
    assert SubspaceAD().score(patches(1, seed=9), fitted).image.min() > 1


def test_padding_is_ignored() -> None:
    fitted = SubspaceAD().fit(patches(3, padding=(4,)))
    result = SubspaceAD().score(patches(1, padding=(4,), seed=1), fitted)
    assert result.maps[0, 4] == 0
    without_padding = patches(3, padding=(4,))
    without_padding.tokens[:, :, 4] = 0
    torch.testing.assert_close(fitted["mean 0"], SubspaceAD().fit(without_padding)["mean 0"])
