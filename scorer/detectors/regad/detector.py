"""RegAD: pictures are registered, and at every place a Gaussian of the normals' patches there tells what is usual.

Huang, Guan, Jiang, Zhang, Spratling and Wang, "Registration based Few-Shot Anomaly Detection", ECCV 2022,
arXiv 2207.07361.

A spatial transformer, trained across categories to make two pictures of one category alike, brings each picture into
place. Then, as in PaDiM, each place has a Gaussian, here of normals and of their turned copies, and a patch's anomaly
is its Mahalanobis distance. The map is smoothed a little; the image score is its largest value.

Where this departs from the paper (docs/adr/0022): the paper trains three transformers within a ResNet; here one moves
the finished map of a backbone that stays as it is, seeing only how alike patches are, so that it serves every backbone,
and nothing is moved at a station whose normals say that their parts lie still. Of the paper's copies there are turned
ones alone, of its channels a random choice as in PaDiM.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from scorer.detectors.padim import CHANNELS, CONSTANT, SMOOTHING, nearest_valid, select_channels, smooth_maps
from scorer.detectors.patch_method import MethodConfig
from scorer.detectors.patches import Patches
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
"""The paper's first step of π/16 to both sides; the corners that wider turns make up would count as usual."""

REGISTRATION_GAIN = 0.8
"""Pictures are registered where that lowers the normals' own mean score to this share of what it is, or further."""


@dataclass(frozen=True, slots=True)
class PatchSums:
    """Over some pictures, at each place: how many look (P,), their patches (P, D) and products (P, D, D); float64."""

    count: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor

    def less(self, other: "PatchSums") -> "PatchSums":
        """Without some of the pictures."""
        return PatchSums(self.count - other.count, self.first - other.first, self.second - other.second)

    def and_also(self, other: "PatchSums") -> "PatchSums":
        """With more pictures."""
        return PatchSums(self.count + other.count, self.first + other.first, self.second + other.second)


class RegAD:
    """RegAD on any backbone with patch tokens."""

    name = "regad"
    rotations = ROTATIONS

    def __init__(self, network: RegistrationNetwork, weights_sha256: str) -> None:
        self._network = network.eval().requires_grad_(False)
        self.configuration: MethodConfig = {
            "registration": weights_sha256,
            "helps": REGISTRATION_GAIN,
            "channels": CHANNELS,
            "constant": CONSTANT,
            "smoothing": SMOOTHING,
        }

    def fit(self, normals: Patches) -> Mapping[str, torch.Tensor]:
        """Keep each place's mean and what makes its Gaussian round, and whether pictures are registered."""
        chosen = select_channels(normals.tokens)
        registers = torch.tensor(
            normals.image_count > 1 and self._helps(normals.in_fp32(), chosen), device=normals.tokens.device
        )
        pictures = warp_patches(normals, self._how(normals, registers))
        kept = fit_gaussians(_sums_of_all(pictures, chosen), normals.grid)
        return {"channels": chosen, "registers": registers, **kept}

    def score(self, queries: Patches, fitted: Mapping[str, torch.Tensor]) -> ScoreTensors:
        """The map is brought back to where the picture was; the component is the score itself."""
        how = self._how(queries, fitted["registers"])
        there = warp_patches(queries, how)
        found = _map(there, fitted["channels"], fitted)
        laid_out = (found.view(-1, 1, *queries.grid), there.valid_mask.view(-1, 1, *queries.grid))
        maps = warp_maps(*laid_out, invert_affine(how))[0].flatten(1).masked_fill(~queries.valid_mask, 0)
        image = found.amax(dim=1)
        return ScoreTensors(image, maps, {"farthest patch": image})

    def leave_one_out(self, normals: Patches, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """By what all normals together decided, registered or not."""
        return _left_out(warp_patches(normals, self._how(normals, fitted["registers"])), fitted["channels"])

    def _helps(self, normals: Patches, channels: torch.Tensor) -> bool:
        """Whether registered normals are so much nearer to each other."""
        still = _left_out(normals, channels).mean()
        registered = _left_out(warp_patches(normals, self._network_says(normals)), channels).mean()
        return bool(registered <= REGISTRATION_GAIN * still)

    def _how(self, pictures: Patches, registers: torch.Tensor) -> torch.Tensor:
        """Affine maps (B, 2, 3): the network's, or to stay."""
        if registers:
            return self._network_says(pictures)
        return torch.eye(2, 3, device=pictures.tokens.device).expand(len(pictures.valid_mask), 2, 3)

    def _network_says(self, pictures: Patches) -> torch.Tensor:
        network = self._network.to(pictures.tokens.device)
        how: torch.Tensor = network(similarity_maps(pictures), aspect=pictures.grid[0] / pictures.grid[1])
        return how


def load() -> RegAD:
    """RegAD with the registration weights of this package; raises `InvalidWeights`."""
    return RegAD(registration.load_registration(), registration.SHA256)


def patch_sums(pictures: Patches, channels: torch.Tensor) -> PatchSums:
    """Over pictures with their copies."""
    looking = pictures.valid_mask.T[:, :, None].double()  # (P, B, 1)
    at_place = concat_layers(pictures.tokens)[:, :, channels].transpose(0, 1) * looking  # (P, B, D)
    return PatchSums(looking.sum(dim=(1, 2)), at_place.sum(dim=1), at_place.transpose(1, 2) @ at_place)


def fit_gaussians(of: PatchSums, grid: tuple[int, int]) -> dict[str, torch.Tensor]:
    """For each place the mean, (P, D), and the lower triangle, (P, D, D), that makes a deviation's length its distance.

    A place that no normal looks at has the Gaussian of the nearest place that one does.
    """
    count = of.count.clamp(min=1)[:, None]
    means = of.first / count
    scatter = of.second - count[:, :, None] * means[:, :, None] * means[:, None, :]
    covariance = scatter / (count - 1).clamp(min=1)[:, :, None]
    identity = torch.eye(means.shape[1], dtype=means.dtype, device=means.device)
    root = torch.linalg.cholesky(covariance + CONSTANT * identity)
    rounding = torch.linalg.solve_triangular(root, identity.expand_as(root), upper=False)
    source = nearest_valid(of.count > 0, grid)
    return {"means": means[source].float(), "rounding": rounding[source].float()}


def mahalanobis(at_place: torch.Tensor, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Distances of B patches at each place, (P, B, D), to its Gaussian: (P, B)."""
    deviations = at_place - fitted["means"][:, None]
    distances: torch.Tensor = (deviations @ fitted["rounding"].transpose(1, 2)).norm(dim=2)
    return distances


def _map(registered: Patches, channels: torch.Tensor, gaussian: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The map of registered pictures, (B, P)."""
    at_place = concat_layers(registered.tokens)[:, :, channels].transpose(0, 1)  # (P, B, D)
    return smooth_maps(mahalanobis(at_place, gaussian).T, registered.valid_mask, registered.grid)


def _left_out(registered: Patches, channels: torch.Tensor) -> torch.Tensor:
    """The score of each of K ≥ 2 normals against the others: sums over these are those over all less its own, (K,)."""
    whole = _sums_of_all(registered, channels)
    scores = []
    for place in range(registered.image_count):
        one = registered.take([place])
        others = fit_gaussians(whole.less(patch_sums(one, channels)), registered.grid)
        scores.append(_map(one.unrotated(), channels, others).amax(dim=1))
    return torch.cat(scores)


def _sums_of_all(pictures: Patches, channels: torch.Tensor) -> PatchSums:
    """One picture with its copies at a time, which bounds memory."""
    whole = patch_sums(pictures.take([0]), channels)
    for place in range(1, pictures.image_count):
        whole = whole.and_also(patch_sums(pictures.take([place]), channels))
    return whole
