"""RegAD's Gaussians of registered patches, against a computation with numpy's matrix inverse."""

import numpy as np
import pytest
import torch

from scorer.detectors.padim import REGULARISATION
from scorer.detectors.patch_based.method import leave_one_out_by_refitting
from scorer.detectors.patch_based.patches import Patches
from scorer.detectors.regad.method import RegAD, load
from scorer.detectors.regad.registration import RegistrationNetwork
from tests.scorer.detectors.patch_samples import patches, single_layer

pytestmark = pytest.mark.usefixtures("one_thread")


class ConstantShift(RegistrationNetwork):
    """Shifts every image by the same distance."""

    def __init__(self, right: float) -> None:
        super().__init__()
        self.right = right

    def forward(self, likenesses: torch.Tensor, aspect: float = 1.0) -> torch.Tensor:
        return torch.tensor([[1.0, 0, -self.right], [0, 1, 0]]).expand(len(likenesses), -1, -1)


def unregistered() -> RegAD:
    return RegAD(RegistrationNetwork().eval(), "none")


@pytest.mark.parametrize("count", [1, 2, 5])
def test_without_registration_distances_are_mahalanobis_distances_to_normals_and_copies(count: int) -> None:
    normals, query = patches(count, seed=1, copies=2), patches(1, seed=2)
    result = unregistered().score(query, unregistered().fit(normals))
    for cell in range(16):
        samples = normals.tokens[0, :, cell].double().numpy()
        deviations = samples - samples.mean(axis=0)
        covariance = deviations.T @ deviations / (len(samples) - 1) + REGULARISATION * np.eye(6)
        difference = query.tokens[0, 0, cell].double().numpy() - samples.mean(axis=0)
        by_numpy = np.sqrt(difference @ np.linalg.inv(covariance) @ difference)
        assert float(result.maps[0, cell]) == pytest.approx(by_numpy, rel=1e-3)
    torch.testing.assert_close(result.image, result.maps.amax(dim=1), atol=1e-3, rtol=1e-3)


def test_leave_one_out_equals_refitting_on_the_others() -> None:
    normals = patches(4, seed=3, copies=3, padding=(2,))
    method = unregistered()
    torch.testing.assert_close(
        method.leave_one_out(normals, method.fit(normals)),
        leave_one_out_by_refitting(method, normals),
        rtol=1e-3,
        atol=0,
    )


def test_the_anomaly_map_is_in_coordinates_of_the_unregistered_image(monkeypatch: pytest.MonkeyPatch) -> None:
    normals = single_layer(torch.randn(3, 64, 4) * 0.1, (8, 8))
    method = RegAD(ConstantShift(right=2 / 8), "one cell to the right")
    monkeypatch.setattr(method, "_is_improved", lambda *_: True)
    query = torch.zeros(1, 64, 4)
    query[0, 3 * 8 + 2] = 5
    result = method.score(single_layer(query, (8, 8)), method.fit(normals))
    assert int(result.maps[0].argmax()) == 3 * 8 + 2


def test_images_are_registered_where_it_aligns_the_normals(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = torch.randn(1, 8, 8, 4, generator=torch.Generator().manual_seed(0))
    shifts = (0, 2, 1, 3)
    displaced = single_layer(torch.cat([tokens.roll(shift, dims=2) for shift in shifts]).flatten(1, 2), (8, 8))
    transforms = torch.tensor([[[1.0, 0, 2 * shift / 8], [0, 1, 0]] for shift in shifts])
    method = unregistered()
    monkeypatch.setattr(method, "_predict", lambda images: transforms[: len(images.valid_mask)])
    assert bool(method.fit(displaced)["registers"])
    still = single_layer(
        tokens.flatten(1, 2) + 0.1 * torch.randn(4, 64, 4, generator=torch.Generator().manual_seed(1)), (8, 8)
    )
    assert not bool(method.fit(still)["registers"])


def test_padding_is_ignored() -> None:
    valid_mask = torch.ones(4, 16, dtype=torch.bool)
    valid_mask[:, :4] = False
    tokens = torch.randn(1, 4, 16, 5)
    tokens[:, :, :4] = 1e6
    images = Patches(tokens, valid_mask, (4, 4))
    method = unregistered()
    fitted = method.fit(images)
    assert fitted["means"].abs().max() < 10
    result = method.score(images, fitted)
    assert (result.maps[:, :4] == 0).all()
    assert result.image.max() < 100


def test_regad_loads_with_the_packaged_weights() -> None:
    assert load().configuration["registration"]
