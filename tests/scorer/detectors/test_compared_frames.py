"""Frames compared with normals, each without itself."""

import numpy as np
import pytest
import torch

from scorer.detectors.nearest_patch import NearestPatch
from scorer.detectors.patch_based.compared_frames import compare_frames
from scorer.detectors.patch_based.patches import Patches


def patches(images: int, seed: int) -> Patches:
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(2, 1, 30, 8, generator=generator)
    tokens = shared + 0.3 * torch.randn(2, images, 30, 8, generator=generator)
    valid_mask = torch.ones(images, 30, dtype=torch.bool)
    valid_mask[:, :6] = False  # the first row of the grid is padding
    return Patches(tokens, valid_mask, (5, 6))


def test_a_normal_is_scored_as_left_out_and_another_frame_as_any() -> None:
    method, normals, others = NearestPatch(), patches(6, 0), patches(3, 1)
    fitted = method.fit(normals)
    own = compare_frames(normals, fitted, range(6))
    assert own.scores == pytest.approx(method.leave_one_out(normals, fitted).numpy(), rel=1e-5)
    compared = compare_frames(others, fitted, [None] * 3)
    assert compared.scores == pytest.approx(method.score(others, fitted).image.numpy(), rel=1e-5)


def test_a_batch_equals_its_frames_one_by_one() -> None:
    fitted, frames = NearestPatch().fit(patches(4, 0)), patches(3, 1)
    together = compare_frames(frames, fitted, [None] * 3)
    for index in range(3):
        alone = compare_frames(frames.take([index]), fitted, [None])
        assert (alone.evidence[0] == together.evidence[index]).all()
        assert alone.descriptors[0] == pytest.approx(together.descriptors[index])


def test_evidence_of_a_frame_that_is_a_normal_too_has_no_residual() -> None:
    normals = patches(4, 0)
    compared = compare_frames(normals.take([2]), NearestPatch().fit(normals), [None])
    width = 8
    tokens, residuals = compared.evidence[0].reshape(2, 2, width).transpose(1, 0, 2)
    assert residuals == pytest.approx(np.zeros((2, width)), abs=1e-6)
    assert np.linalg.norm(tokens, axis=-1).max() <= 1 + 1e-6
