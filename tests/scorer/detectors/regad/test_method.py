"""RegAD's Gaussians of registered patches, against numpy's inverses."""

import numpy as np
import pytest
import torch

from scorer.detectors.padim import CONSTANT
from scorer.detectors.patch_based.method import leave_one_out_by_refitting
from scorer.detectors.patch_based.patches import Patches
from scorer.detectors.regad.method import RegAD, load
from scorer.detectors.regad.registration import RegistrationNetwork
from tests.scorer.detectors.patch_samples import of, patches

pytestmark = pytest.mark.usefixtures("one_thread")


class AlwaysTo(RegistrationNetwork):
    """Moves every picture alike."""

    def __init__(self, right: float) -> None:
        super().__init__()
        self.right = right

    def forward(self, likenesses: torch.Tensor, aspect: float = 1.0) -> torch.Tensor:
        return torch.tensor([[1.0, 0, -self.right], [0, 1, 0]]).expand(len(likenesses), -1, -1)


def unregistered() -> RegAD:
    return RegAD(RegistrationNetwork().eval(), "none")


@pytest.mark.parametrize("count", [1, 2, 5])
def test_without_registration_distances_are_those_of_the_gaussian_of_normals_and_copies(count: int) -> None:
    normals, query = patches(count, seed=1, copies=2), patches(1, seed=2)
    judged = unregistered().score(query, unregistered().fit(normals))
    for place in range(16):
        seen = normals.tokens[0, :, place].double().numpy()
        deviations = seen - seen.mean(axis=0)
        covariance = deviations.T @ deviations / (len(seen) - 1) + CONSTANT * np.eye(6)
        difference = query.tokens[0, 0, place].double().numpy() - seen.mean(axis=0)
        by_numpy = np.sqrt(difference @ np.linalg.inv(covariance) @ difference)
        assert float(judged.maps[0, place]) == pytest.approx(by_numpy, rel=1e-3)
    torch.testing.assert_close(judged.image, judged.maps.amax(dim=1), atol=1e-3, rtol=1e-3)


def test_leaving_one_out_is_fitting_the_others() -> None:
    normals = patches(4, seed=3, copies=3, bars=(2,))
    method = unregistered()
    torch.testing.assert_close(
        method.leave_one_out(normals, method.fit(normals)),
        leave_one_out_by_refitting(method, normals),
        rtol=1e-3,
        atol=0,
    )


def test_the_map_lies_over_the_picture_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    normals = of(torch.randn(3, 64, 4) * 0.1, (8, 8))
    method = RegAD(AlwaysTo(right=2 / 8), "one cell to the right")
    monkeypatch.setattr(method, "_is_improved", lambda *_: True)
    odd = torch.zeros(1, 64, 4)
    odd[0, 3 * 8 + 2] = 5
    judged = method.score(of(odd, (8, 8)), method.fit(normals))
    assert int(judged.maps[0].argmax()) == 3 * 8 + 2


def test_pictures_are_registered_where_that_brings_the_normals_together(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = torch.randn(1, 8, 8, 4, generator=torch.Generator().manual_seed(0))
    cells = (0, 2, 1, 3)
    displaced = of(torch.cat([shown.roll(by, dims=2) for by in cells]).flatten(1, 2), (8, 8))
    back = torch.tensor([[[1.0, 0, 2 * by / 8], [0, 1, 0]] for by in cells])
    method = unregistered()
    monkeypatch.setattr(method, "_predict", lambda pictures: back[: len(pictures.valid_mask)])
    assert bool(method.fit(displaced)["registers"])
    still = of(shown.flatten(1, 2) + 0.1 * torch.randn(4, 64, 4, generator=torch.Generator().manual_seed(1)), (8, 8))
    assert not bool(method.fit(still)["registers"])


def test_bars_take_no_part() -> None:
    valid_mask = torch.ones(4, 16, dtype=torch.bool)
    valid_mask[:, :4] = False
    tokens = torch.randn(1, 4, 16, 5)
    tokens[:, :, :4] = 1e6
    pictures = Patches(tokens, valid_mask, (4, 4))
    method = unregistered()
    fitted = method.fit(pictures)
    assert fitted["means"].abs().max() < 10
    judged = method.score(pictures, fitted)
    assert (judged.maps[:, :4] == 0).all()
    assert judged.image.max() < 100


def test_it_loads_with_the_weights_of_the_package() -> None:
    assert load().configuration["registration"]
