"""RegAD: images are registered, and in every cell a Gaussian of the normals' patches there models what is usual.

Huang, Guan, Jiang, Zhang, Spratling and Wang, "Registration based Few-Shot Anomaly Detection", ECCV 2022,
arXiv 2207.07361.

A spatial transformer, trained across categories to make two images of one category alike, aligns each image.
Then, as in PaDiM, each cell has a Gaussian, here of normals and of their rotated copies, and a patch's anomaly
is its Mahalanobis distance. The map is smoothed slightly; the image score is its largest value.

Where this departs from the paper (docs/adr/0022): the paper trains three transformers within a ResNet; here one warps
the finished map of a frozen backbone, seeing only how similar patches are, so that it serves every backbone, and
nothing is warped at a station whose normals show that their parts do not move. Of the paper's copies only the rotated
ones are used, of its channels a random choice as in PaDiM.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from scorer.detectors.padim import CHANNELS, REGULARISATION, SMOOTHING, nearest_valid, select_channels, smooth_maps
from scorer.detectors.patch_based.method import MethodConfig
from scorer.detectors.patch_based.patches import Patches
from scorer.detectors.regad import registration
from scorer.detectors.regad.registration import (
    RegistrationNetwork,
    invert_affine,
    similarity_maps,
    warp_maps,
    warp_patches,
)
from scorer.detectors.score_tensors import ScoreTensors
from scorer.distances.euclidean import concat_layers

ROTATIONS = (0, 11, 349)
"""The paper's first step of π/16 to both sides; the corners that wider rotations invent would count as usual."""

REGISTRATION_GAIN = 0.8
"""Images are registered where that lowers the normals' own mean score to this fraction of it, or further."""


@dataclass(frozen=True, slots=True)
class PatchSums:
    """Sums over images in each cell, float64: valid images (P,), their patches (P, D) and products (P, D, D)."""

    count: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor

    def less(self, other: "PatchSums") -> "PatchSums":
        """Return the sums without some of the images."""
        return PatchSums(self.count - other.count, self.first - other.first, self.second - other.second)

    def plus(self, other: "PatchSums") -> "PatchSums":
        """Return the sums with more images."""
        return PatchSums(self.count + other.count, self.first + other.first, self.second + other.second)


class RegAD:
    """RegAD on any backbone with patch tokens."""

    name = "regad"
    rotations = ROTATIONS

    def __init__(self, network: RegistrationNetwork, weights_sha256: str) -> None:
        self._network = network.eval().requires_grad_(False)
        self.configuration: MethodConfig = {
            "registration": weights_sha256,
            "registration_gain": REGISTRATION_GAIN,
            "channels": CHANNELS,
            "regularisation": REGULARISATION,
            "smoothing": SMOOTHING,
        }

    def fit(self, normals: Patches) -> Mapping[str, torch.Tensor]:
        """Store each cell's mean and whitening matrix, and whether images are registered."""
        channels = select_channels(normals.tokens)
        registers = torch.tensor(
            normals.image_count > 1 and self._is_improved(normals.in_fp32(), channels), device=normals.tokens.device
        )
        registered = warp_patches(normals, self._transforms(normals, registers))
        gaussians = fit_gaussians(_sum_all(registered, channels), normals.grid)
        return {"channels": channels, "registers": registers, **gaussians}

    def score(self, queries: Patches, fitted: Mapping[str, torch.Tensor]) -> ScoreTensors:
        """Score images and warp the maps back to where the images were; the component is the image score itself."""
        transforms = self._transforms(queries, fitted["registers"])
        registered = warp_patches(queries, transforms)
        registered_maps = _distance_maps(registered, fitted["channels"], fitted)
        as_grid = (registered_maps.view(-1, 1, *queries.grid), registered.valid_mask.view(-1, 1, *queries.grid))
        maps = warp_maps(*as_grid, invert_affine(transforms))[0].flatten(1).masked_fill(~queries.valid_mask, 0)
        image = registered_maps.amax(dim=1)
        return ScoreTensors(image, maps, {"farthest patch": image})

    def leave_one_out(self, normals: Patches, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Score each normal against the others, registered or not as all together decided: (K,)."""
        registered = warp_patches(normals, self._transforms(normals, fitted["registers"]))
        return _leave_one_out_scores(registered, fitted["channels"])

    def _is_improved(self, normals: Patches, channels: torch.Tensor) -> bool:
        """Return whether registration brings the normals sufficiently closer to each other."""
        unregistered = _leave_one_out_scores(normals, channels).mean()
        registered = _leave_one_out_scores(warp_patches(normals, self._predict(normals)), channels).mean()
        return bool(registered <= REGISTRATION_GAIN * unregistered)

    def _transforms(self, images: Patches, registers: torch.Tensor) -> torch.Tensor:
        """Return affine maps (B, 2, 3): the network's, or the identity."""
        if registers:
            return self._predict(images)
        return torch.eye(2, 3, device=images.tokens.device).expand(len(images.valid_mask), 2, 3)

    def _predict(self, images: Patches) -> torch.Tensor:
        network = self._network.to(images.tokens.device)
        transforms: torch.Tensor = network(similarity_maps(images), aspect=images.grid[0] / images.grid[1])
        return transforms


def load() -> RegAD:
    """Load RegAD with the registration weights of this package; raises `InvalidWeights`."""
    return RegAD(registration.load_registration(), registration.SHA256)


def patch_sums(images: Patches, channels: torch.Tensor) -> PatchSums:
    """Sum over images with their copies."""
    valid = images.valid_mask.T[:, :, None].double()  # (P, B, 1)
    by_cell = concat_layers(images.tokens)[:, :, channels].transpose(0, 1) * valid  # (P, B, D)
    return PatchSums(valid.sum(dim=(1, 2)), by_cell.sum(dim=1), by_cell.transpose(1, 2) @ by_cell)


def fit_gaussians(sums: PatchSums, grid: tuple[int, int]) -> dict[str, torch.Tensor]:
    """Fit a Gaussian to each cell; one that is padding in every normal has that of the nearest cell that is not.

    Returns:
        means (P, D); rounding (P, D, D), the lower triangles that whiten: the length of a whitened deviation is its
        Mahalanobis distance.
    """
    count = sums.count.clamp(min=1)[:, None]
    means = sums.first / count
    scatter = sums.second - count[:, :, None] * means[:, :, None] * means[:, None, :]
    covariance = scatter / (count - 1).clamp(min=1)[:, :, None]
    identity = torch.eye(means.shape[1], dtype=means.dtype, device=means.device)
    root = torch.linalg.cholesky(covariance + REGULARISATION * identity)
    whitening = torch.linalg.solve_triangular(root, identity.expand_as(root), upper=False)
    nearest = nearest_valid(sums.count > 0, grid)
    return {"means": means[nearest].float(), "rounding": whitening[nearest].float()}


def mahalanobis(by_cell: torch.Tensor, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the distances of B patches of each cell, (P, B, D), to the cell's Gaussian: (P, B)."""
    deviations = by_cell - fitted["means"][:, None]
    distances: torch.Tensor = (deviations @ fitted["rounding"].transpose(1, 2)).norm(dim=2)
    return distances


def _distance_maps(registered: Patches, channels: torch.Tensor, gaussians: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the smoothed maps of registered images, (B, P)."""
    by_cell = concat_layers(registered.tokens)[:, :, channels].transpose(0, 1)  # (P, B, D)
    return smooth_maps(mahalanobis(by_cell, gaussians).T, registered.valid_mask, registered.grid)


def _leave_one_out_scores(registered: Patches, channels: torch.Tensor) -> torch.Tensor:
    """Return the score of each of K ≥ 2 normals against the others, whose sums are those of all less its own: (K,)."""
    total = _sum_all(registered, channels)
    scores = []
    for position in range(registered.image_count):
        normal = registered.take([position])
        others = fit_gaussians(total.less(patch_sums(normal, channels)), registered.grid)
        scores.append(_distance_maps(normal.unrotated(), channels, others).amax(dim=1))
    return torch.cat(scores)


def _sum_all(images: Patches, channels: torch.Tensor) -> PatchSums:
    """Sum over images one by one, with their copies, which bounds memory."""
    total = patch_sums(images.take([0]), channels)
    for position in range(1, images.image_count):
        total = total.plus(patch_sums(images.take([position]), channels))
    return total
