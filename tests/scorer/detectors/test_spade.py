"""SPADE against values computed by hand."""

import pytest
import torch

from scorer.detectors import spade
from scorer.detectors.patch_based.method import leave_one_out_by_refitting
from scorer.detectors.patch_based.patches import Patches
from scorer.detectors.spade import Spade
from tests.scorer.detectors.patch_samples import patches, single_layer

pytestmark = pytest.mark.usefixtures("one_thread")


def uniform_images(*values: float) -> Patches:
    """Return images of one value each, with two cells and one channel."""
    return single_layer(torch.tensor(values)[:, None, None].expand(-1, 2, 1), (1, 2))


def test_the_image_score_is_the_mean_squared_distance_to_the_nearest_normals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spade, "NEAREST_NORMALS", 2)
    method = Spade()
    result = method.score(uniform_images(1.0), method.fit(uniform_images(0.0, 3.0, 10.0)))
    assert result.image.tolist() == [(1 + 4) / 2]


def test_the_map_searches_only_the_nearest_normals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spade, "NEAREST_NORMALS", 1)
    far = torch.tensor([[[0.0], [0.0]], [[5.0], [50.0]]])
    method = Spade()
    result = method.score(single_layer(torch.tensor([[[5.0], [1.0]]]), (1, 2)), method.fit(single_layer(far, (1, 2))))
    assert result.maps.tolist() == [[5, 1]]  # the 5 of the other normal is not searched: its mean is farther
    assert result.components["farthest patch"].tolist() == [5]


def test_padding_enters_neither_mean_nor_gallery() -> None:
    normals = patches(3, padding=(0, 7))
    fitted = Spade().fit(normals)
    assert fitted["means"].abs().max() < 10
    result = Spade().score(patches(1, seed=5, padding=(0, 7)), fitted)
    assert result.maps[0, [0, 7]].tolist() == [0, 0]
    assert result.maps.max() < 100


def test_leave_one_out_equals_refitting_on_the_others() -> None:
    normals = patches(4)
    torch.testing.assert_close(
        Spade().leave_one_out(normals, Spade().fit(normals)), leave_one_out_by_refitting(Spade(), normals)
    )
