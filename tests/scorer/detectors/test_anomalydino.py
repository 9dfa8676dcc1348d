"""AnomalyDINO: distances against a computation by hand, and when only the part is scored."""

import pytest
import torch

from scorer.detectors import anomalydino
from scorer.detectors.anomalydino import (
    AnomalyDino,
    central_cells,
    first_principal_component,
    fit_foreground,
    rim_cells,
)
from scorer.detectors.patch_based.method import leave_one_out_by_refitting
from scorer.detectors.patch_based.patches import Patches
from tests.scorer.detectors.patch_samples import patches, single_layer

pytestmark = pytest.mark.usefixtures("one_thread")

GRID = (8, 8)


def part_on_background(count: int, side: int = 4, seed: int = 0) -> Patches:
    """Return images of a square part whose patches point along the first axis, on a background along the second."""
    noise = 0.05 * torch.randn(count, *GRID, 5, generator=torch.Generator().manual_seed(seed))
    noise[..., 1] += 1
    first = (GRID[0] - side) // 2
    part = noise[:, first : first + side, first : first + side]
    part[..., 0] += 1
    part[..., 1] -= 1
    return single_layer(noise.flatten(1, 2), GRID)


def test_maps_are_cosine_distances_and_scores_the_mean_of_the_largest() -> None:
    normals, queries = patches(2, grid=(16, 16), layers=2), patches(1, grid=(16, 16), layers=2, seed=4)
    result = AnomalyDino().score(queries, AnomalyDino().fit(normals))
    unit = [torch.nn.functional.normalize(batch.tokens, dim=-1) for batch in (queries, normals)]
    cosines = (unit[0][:, 0] @ unit[1].flatten(1, 2).transpose(1, 2)).mean(dim=0)  # mean over layers, (P, K·P)
    expected = (1 - cosines.amax(dim=1)) / 2
    torch.testing.assert_close(result.maps[0], expected)
    torch.testing.assert_close(result.image[0], expected.topk(3).values.mean())  # 1 % of 256


def test_centre_and_rim_are_those_of_the_image_without_padding() -> None:
    valid_mask = torch.ones(1, 8, 6, dtype=torch.bool)
    valid_mask[:, 6:] = False
    images = Patches(torch.zeros(1, 1, 48, 1), valid_mask.flatten(1), (8, 6))
    rows = central_cells(images).view(8, 6)
    assert rows[1:5, 1:5].all()
    assert rows.sum() == 16
    assert rim_cells(images).view(8, 6)[1:5, 1:5].sum() == 12  # the ring around 2 × 2 cells
    assert rim_cells(images).sum() == 12


def test_the_first_component_equals_that_of_the_svd() -> None:
    deviations = torch.randn(50, 6, generator=torch.Generator().manual_seed(1)) * torch.tensor([5.0, 1, 1, 1, 1, 1])
    deviations -= deviations.mean(dim=0)
    component = first_principal_component(deviations)
    assert abs(float(component @ torch.linalg.svd(deviations).Vh[0])) == pytest.approx(1, abs=1e-4)


def test_a_part_on_a_background_is_scored_without_the_background() -> None:
    normals = part_on_background(3)
    method = AnomalyDino()
    fitted = method.fit(normals)
    assert bool(fitted["shown"])
    query = part_on_background(1, seed=7)
    dusty = query.tokens.clone()
    dusty[:, 0, 0] = torch.tensor([0.0, 1, 2, 0, 0])  # dust in the corner of the background
    result = method.score(Patches(dusty, query.valid_mask, GRID), fitted)
    assert result.maps[0, 0] == 0
    assert result.components["foreground fraction"].item() == pytest.approx(
        36 / 64
    )  # 4 × 4 cells and a margin of one cell
    scratched = query.tokens.clone()
    scratched[:, 0, 3 * 8 + 3] = -1
    assert method.score(Patches(scratched, query.valid_mask, GRID), fitted).image > 10 * result.image


def test_images_without_a_separable_foreground_are_scored_whole() -> None:
    assert not fit_foreground(patches(3, grid=GRID)).shown
    assert not fit_foreground(part_on_background(3, side=8)).shown
    assert not fit_foreground(part_on_background(3, side=6)).shown  # reaches into the rim


def test_one_normal_without_foreground_disables_the_mask() -> None:
    tokens = part_on_background(3).tokens
    tokens[:, 2] = tokens[:, 2, :1]  # shows only background
    assert not fit_foreground(Patches(tokens, torch.ones(3, 64, dtype=torch.bool), GRID)).shown


def test_an_image_without_foreground_is_scored_whole() -> None:
    fitted = AnomalyDino().fit(part_on_background(3))
    empty = single_layer(torch.tensor([0.0, 1, 0, 0, 0]).expand(1, 64, 5), GRID)
    assert AnomalyDino().score(empty, fitted).components["foreground fraction"].item() == 1


def test_leave_one_out_searches_the_others_and_their_copies() -> None:
    normals = patches(4, copies=2, padding=(3,))
    method = AnomalyDino()
    torch.testing.assert_close(
        method.leave_one_out(normals, method.fit(normals)), leave_one_out_by_refitting(method, normals)
    )


def test_too_many_patches_are_subsampled_with_a_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anomalydino, "MAX_PATCHES", 20)
    first, second = (AnomalyDino().fit(patches(3)) for _ in range(2))
    assert len(first["memory"]) == 20
    assert torch.equal(first["memory"], second["memory"])
    assert torch.isfinite(AnomalyDino().leave_one_out(patches(3), first)).all()
