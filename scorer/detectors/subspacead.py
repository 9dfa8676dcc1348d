"""SubspaceAD: the normals' patches span a subspace; what of a patch lies outside it is its anomaly.

Lendering, Akdag and Bondarev, "SubspaceAD: Training-Free Few-Shot Anomaly Detection via Subspace Modeling", CVPR 2026,
arXiv 2602.23013.

A principal component analysis of all patches of the normals and of turned copies keeps as many axes as explain
`EXPLAINED` of their variance. A patch's anomaly is the squared residual of its projection, the image score the mean of
the largest ones. Where this departs from the paper, which is written for one DINOv2 (figures in docs/adr/0022):
patches have unit length, since those of other backbones differ in length by what is bright or busy; each layer has its
own subspace and the map is the mean of their residuals in shares of each layer's variance, where the paper averages
layers; normals are turned by quarters, not 30 times by random angles, whose made-up corners would fill the subspace.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from scorer.detectors.patch_method import MethodConfig
from scorer.detectors.patches import Patches
from scorer.detectors.score_tensors import ScoreTensors
from scorer.distances.cosine import to_unit_length
from scorer.distances.pooling import mean_of_largest

EXPLAINED_VARIANCE = 0.95
"""Share of the variance that the kept axes explain (τ; the paper's 0.99 is of a DINOv2's 1,536 channels)."""

TOP_FRACTION = 0.01
"""The image score is the mean of this share of the patches, the farthest ones (the paper's ρ)."""

ROTATIONS = (0, 90, 180, 270)

MIN_VARIANCE = 1e-12
"""Below this the normals' patches are all the same."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums over patches of one layer: how many, (W,) of themselves and (W, W) of their products; float64."""

    count: int
    first: torch.Tensor
    second: torch.Tensor

    def less(self, other: "Moments") -> "Moments":
        """Without some of the patches."""
        return Moments(self.count - other.count, self.first - other.first, self.second - other.second)


@dataclass(frozen=True, slots=True)
class Subspace:
    """Of one layer's patches: mean (W,), orthonormal axes (axes, W), and the variance in all directions together."""

    mean: torch.Tensor
    axes: torch.Tensor
    variance: torch.Tensor


class SubspaceAD:
    """SubspaceAD on any backbone with patch tokens."""

    name = "subspacead"
    rotations = ROTATIONS

    def __init__(self) -> None:
        self.configuration: MethodConfig = {"explained": EXPLAINED_VARIANCE, "top_share": TOP_FRACTION}

    def fit(self, normals: Patches) -> Mapping[str, torch.Tensor]:
        """Keep each layer's mean, axes and variance."""
        seen = normals.valid_mask
        subspaces = [fit_subspace(patch_moments(layer, seen)) for layer in normals.in_fp32().tokens]
        if normals.fp32_tokens is not None:  # rounding moves queries as it moves these: the middle, not the axes
            means = (to_unit_length(layer[seen]).mean(dim=0) for layer in normals.tokens)
            subspaces = [replace(one, mean=mean) for one, mean in zip(subspaces, means, strict=True)]
        return _kept(subspaces)

    def score(self, queries: Patches, fitted: Mapping[str, torch.Tensor]) -> ScoreTensors:
        """The component beside the score is the farthest patch."""
        subspaces = _subspaces(fitted)
        maps = torch.stack([_residuals(tokens, subspaces) for tokens in queries.tokens.unbind(dim=1)])
        maps = maps.masked_fill(~queries.valid_mask, 0)
        pairs = zip(maps, queries.valid_mask, strict=True)
        image = torch.stack([mean_of_largest(values[seen], TOP_FRACTION) for values, seen in pairs])
        return ScoreTensors(image, maps, {"farthest patch": maps.amax(dim=1)})

    def leave_one_out(self, normals: Patches, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The sums over the others are those over all less its own, so no patch is multiplied once for each normal."""
        whole = [patch_moments(layer, normals.valid_mask) for layer in normals.tokens]
        scores = []
        for place in range(normals.image_count):
            one = normals.take([place])
            own = (patch_moments(layer, one.valid_mask) for layer in one.tokens)
            others = [fit_subspace(all_of_them.less(its)) for all_of_them, its in zip(whole, own, strict=True)]
            scores.append(self.score(one.unrotated(), _kept(others)).image)
        return torch.cat(scores)


def patch_moments(layer: torch.Tensor, valid_mask: torch.Tensor) -> Moments:
    """Sums over the patches of (B, P, W), at unit length, that (B, P) says lie in a picture; a picture at a time."""
    width = layer.shape[2]
    first = torch.zeros(width, dtype=torch.float64, device=layer.device)
    second = torch.zeros(width, width, dtype=torch.float64, device=layer.device)
    for tokens, seen in zip(layer, valid_mask, strict=True):
        patches = to_unit_length(tokens[seen]).double()
        first += patches.sum(dim=0)
        second.addmm_(patches.T, patches)
    return Moments(int(valid_mask.sum()), first, second)


def fit_subspace(of: Moments) -> Subspace:
    """Principal components, as many as explain `EXPLAINED` of the variance."""
    mean = of.first / of.count
    covariance = of.second / of.count - torch.outer(mean, mean)
    variances, axes = torch.linalg.eigh(covariance)
    variances, axes = variances.clamp(min=0).flip(0), axes.flip(1)
    variance = variances.sum()
    count = int((variances.cumsum(dim=0) < EXPLAINED_VARIANCE * variance).sum()) + 1 if variance > MIN_VARIANCE else 0
    return Subspace(mean.float(), axes[:, :count].T.contiguous().float(), variance.float())


def subspace_residuals(patches: torch.Tensor, onto: Subspace) -> torch.Tensor:
    """Squared length of what of (N, W), at unit length, lies outside the subspace, in shares of the variance: (N,)."""
    deviations = to_unit_length(patches) - onto.mean
    outside = deviations - deviations @ onto.axes.T @ onto.axes
    return outside.square().sum(dim=1) / onto.variance.clamp(min=MIN_VARIANCE)


def _residuals(tokens: torch.Tensor, subspaces: Sequence[Subspace]) -> torch.Tensor:
    """Mean over layers of one picture's residuals: (L, P, W) to (P,)."""
    layers = zip(tokens, subspaces, strict=True)
    return torch.stack([subspace_residuals(patches, onto) for patches, onto in layers]).mean(dim=0)


def _kept(subspaces: Sequence[Subspace]) -> dict[str, torch.Tensor]:
    return {
        f"{name} {layer}": tensor
        for layer, one in enumerate(subspaces)
        for name, tensor in (("mean", one.mean), ("axes", one.axes), ("variance", one.variance))
    }


def _subspaces(fitted: Mapping[str, torch.Tensor]) -> list[Subspace]:
    layers = range(len(fitted) // 3)
    return [Subspace(fitted[f"mean {n}"], fitted[f"axes {n}"], fitted[f"variance {n}"]) for n in layers]
