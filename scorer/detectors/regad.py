"""RegAD: pictures are registered, and at every place a Gaussian of the normals' patches there tells what is usual.

Huang, Guan, Jiang, Zhang, Spratling and Wang, "Registration based Few-Shot Anomaly Detection", ECCV 2022,
arXiv 2207.07361.

A spatial transformer, trained across categories to make two pictures of one category alike, brings each picture into
place. Then, as in PaDiM, each place has a Gaussian, here of normals and of their turned copies, and a patch's anomaly
is its Mahalanobis distance. The image score is the largest. Where this departs from the paper (docs/adr/0022): the
paper trains three transformers within a ResNet and gives each category's set of patches to them; here one transformer
moves the finished map of a backbone that stays as it is, seeing only how alike patches are, so that it serves every
backbone. Of the paper's copies there are the turned ones, of its channels a random choice as in PaDiM.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from scorer.detectors import registration
from scorer.detectors.padim import CHANNELS, CONSTANT, choice, nearest_seen
from scorer.detectors.patches import Configuration, Judgement, Patches
from scorer.detectors.registration import Registration, likenesses, moved, reversed_of, sample
from scorer.neighbours import joined

TURNS = (0, 11, 349)
"""The paper's first step of π/16 to both sides; the corners that wider turns make up would count as usual."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Over some pictures, at each place: how many look (P,), their patches (P, D) and products (P, D, D); float64."""

    count: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor

    def less(self, other: "Sums") -> "Sums":
        """Without some of the pictures."""
        return Sums(self.count - other.count, self.first - other.first, self.second - other.second)

    def and_also(self, other: "Sums") -> "Sums":
        """With more pictures."""
        return Sums(self.count + other.count, self.first + other.first, self.second + other.second)


class RegAD:
    """RegAD on any backbone with patch tokens."""

    name = "regad"
    turns = TURNS

    def __init__(self, network: Registration, weights_sha256: str) -> None:
        self._network = network.eval().requires_grad_(False)
        self.configuration: Configuration = {
            "registration": weights_sha256,
            "channels": CHANNELS,
            "constant": CONSTANT,
        }

    def fit(self, normals: Patches) -> Mapping[str, torch.Tensor]:
        """Keep each place's mean and what makes its Gaussian round."""
        registered = moved(normals, self._how(normals))
        chosen = choice(normals.tokens)
        return {"channels": chosen, **gaussians(_sums_of_all(registered, chosen), normals.grid)}

    def judge(self, queries: Patches, fitted: Mapping[str, torch.Tensor]) -> Judgement:
        """The map is brought back to where the picture was; the component is the score itself."""
        how = self._how(queries)
        registered = moved(queries, how)
        at_place = joined(registered.tokens)[:, :, fitted["channels"]].transpose(0, 1)  # (P, B, D)
        distances = mahalanobis(at_place, fitted).T.masked_fill(~registered.looked_at, 0)
        image = distances.amax(dim=1)
        laid_out = (distances.view(-1, 1, *queries.grid), registered.looked_at.view(-1, 1, *queries.grid))
        maps = sample(*laid_out, reversed_of(how))[0].flatten(1).masked_fill(~queries.looked_at, 0)
        return Judgement(image, maps, {"farthest patch": image})

    def left_out(self, normals: Patches, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The sums over the others are those over all less its own and its copies'."""
        registered = moved(normals, self._how(normals))
        whole = _sums_of_all(registered, fitted["channels"])
        scores = []
        for place in range(normals.pictures):
            one = registered.take([place])
            others = whole.less(sums(one, fitted["channels"]))
            at_place = joined(one.originals().tokens)[:, :, fitted["channels"]].transpose(0, 1)
            distances = mahalanobis(at_place, gaussians(others, normals.grid)).T
            scores.append(distances.masked_fill(~one.originals().looked_at, 0).amax(dim=1))
        return torch.cat(scores)

    def _how(self, pictures: Patches) -> torch.Tensor:
        network = self._network.to(pictures.tokens.device)
        how: torch.Tensor = network(likenesses(pictures), aspect=pictures.grid[0] / pictures.grid[1])
        return how


def load() -> RegAD:
    """RegAD with the registration weights of this package; raises `BadWeights`."""
    return RegAD(registration.load_registration(), registration.SHA256)


def sums(pictures: Patches, channels: torch.Tensor) -> Sums:
    """Over pictures with their copies."""
    looking = pictures.looked_at.T[:, :, None].double()  # (P, B, 1)
    at_place = joined(pictures.tokens)[:, :, channels].transpose(0, 1) * looking  # (P, B, D)
    return Sums(looking.sum(dim=(1, 2)), at_place.sum(dim=1), at_place.transpose(1, 2) @ at_place)


def gaussians(of: Sums, grid: tuple[int, int]) -> dict[str, torch.Tensor]:
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
    source = nearest_seen(of.count > 0, grid)
    return {"means": means[source].float(), "rounding": rounding[source].float()}


def mahalanobis(at_place: torch.Tensor, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Distances of B patches at each place, (P, B, D), to its Gaussian: (P, B)."""
    deviations = at_place - fitted["means"][:, None]
    distances: torch.Tensor = (deviations @ fitted["rounding"].transpose(1, 2)).norm(dim=2)
    return distances


def _sums_of_all(pictures: Patches, channels: torch.Tensor) -> Sums:
    """One picture with its copies at a time, which bounds memory."""
    whole = sums(pictures.take([0]), channels)
    for place in range(1, pictures.pictures):
        whole = whole.and_also(sums(pictures.take([place]), channels))
    return whole
