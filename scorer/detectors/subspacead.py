"""SubspaceAD: the normals' patches span a subspace; the part of a patch outside it is its anomaly.

Lendering, Akdag and Bondarev, "SubspaceAD: Training-Free Few-Shot Anomaly Detection via Subspace Modeling", CVPR 2026,
arXiv 2602.23013.

A principal component analysis of all patches of the normals and of rotated copies keeps as many axes as explain
`EXPLAINED_VARIANCE` of their variance. A patch's anomaly is the squared residual of its projection, the image score the
mean of the largest ones. Where this departs from the paper, which is written for one DINOv2 (figures in docs/adr/0022):
patches have unit length, since those of other backbones differ in length by what is bright or busy; each layer has its
own subspace and the map is the mean of their residuals as fractions of each layer's variance, where the paper averages
layers; normals are rotated by quarter turns, not 30 times by random angles, whose invented corners would fill the
subspace.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from scorer.detectors.patch_based.method import MethodConfig
from scorer.detectors.patch_based.patches import Patches
from scorer.detectors.score_tensors import ScoreTensors
from scorer.distances.cosine import to_unit_length
from scorer.distances.pooling import mean_of_largest

EXPLAINED_VARIANCE = 0.95
"""Fraction of the variance that the axes explain (τ; the paper's 0.99 is for the 1,536 channels of a DINOv2)."""

TOP_FRACTION = 0.01
"""The image score is the mean of this fraction of the patches, the farthest ones (the paper's ρ)."""

ROTATIONS = (0, 90, 180, 270)

MIN_VARIANCE = 1e-12
"""Below this the normals' patches are all the same."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums over patches of one layer, float64: their number, the patches (D,), and their products (D, D)."""

    count: int
    first: torch.Tensor
    second: torch.Tensor

    def less(self, other: "Moments") -> "Moments":
        """Return the sums without some of the patches."""
        return Moments(self.count - other.count, self.first - other.first, self.second - other.second)


@dataclass(frozen=True, slots=True)
class Subspace:
    """The subspace of one layer's patches: mean (D,), orthonormal axes (axes, D), and the total variance, a scalar."""

    mean: torch.Tensor
    axes: torch.Tensor
    variance: torch.Tensor


class SubspaceAD:
    """SubspaceAD on any backbone with patch tokens."""

    name = "subspacead"
    rotations = ROTATIONS

    def __init__(self) -> None:
        self.configuration: MethodConfig = {"explained_variance": EXPLAINED_VARIANCE, "top_fraction": TOP_FRACTION}

    def fit(self, normals: Patches) -> Mapping[str, torch.Tensor]:
        """Store each layer's mean, axes and variance."""
        valid = normals.valid_mask
        subspaces = [fit_subspace(patch_moments(layer, valid)) for layer in normals.in_fp32().tokens]
        if normals.fp32_tokens is not None:  # rounding moves queries as it moves these: the mean, not the axes
            means = (to_unit_length(layer[valid]).mean(dim=0) for layer in normals.tokens)
            subspaces = [replace(subspace, mean=mean) for subspace, mean in zip(subspaces, means, strict=True)]
        return _to_tensors(subspaces)

    def score(self, queries: Patches, fitted: Mapping[str, torch.Tensor]) -> ScoreTensors:
        """Score images; the component is the distance of the farthest patch."""
        subspaces = _subspaces(fitted)
        maps = torch.stack([_residuals(tokens, subspaces) for tokens in queries.tokens.unbind(dim=1)])
        maps = maps.masked_fill(~queries.valid_mask, 0)
        pairs = zip(maps, queries.valid_mask, strict=True)
        image = torch.stack([mean_of_largest(values[valid], TOP_FRACTION) for values, valid in pairs])
        return ScoreTensors(image, maps, {"farthest patch": maps.amax(dim=1)})

    def leave_one_out(self, normals: Patches, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Score each normal against the others, (K,).

        Sums over the others are those over all less its own, so that each patch is multiplied once and not K times.
        """
        total = [patch_moments(layer, normals.valid_mask) for layer in normals.tokens]
        scores = []
        for position in range(normals.image_count):
            normal = normals.take([position])
            own = (patch_moments(layer, normal.valid_mask) for layer in normal.tokens)
            others = [fit_subspace(of_all.less(of_normal)) for of_all, of_normal in zip(total, own, strict=True)]
            scores.append(self.score(normal.unrotated(), _to_tensors(others)).image)
        return torch.cat(scores)


def patch_moments(layer: torch.Tensor, valid_mask: torch.Tensor) -> Moments:
    """Sum over the valid patches of (B, P, D), at unit length; valid_mask: (B, P). Images are added one by one."""
    width = layer.shape[2]
    first = torch.zeros(width, dtype=torch.float64, device=layer.device)
    second = torch.zeros(width, width, dtype=torch.float64, device=layer.device)
    for tokens, valid in zip(layer, valid_mask, strict=True):
        patches = to_unit_length(tokens[valid]).double()
        first += patches.sum(dim=0)
        second.addmm_(patches.T, patches)
    return Moments(int(valid_mask.sum()), first, second)


def fit_subspace(moments: Moments) -> Subspace:
    """Return as many principal components as explain `EXPLAINED_VARIANCE` of the variance."""
    mean = moments.first / moments.count
    covariance = moments.second / moments.count - torch.outer(mean, mean)
    variances, axes = torch.linalg.eigh(covariance)
    variances, axes = variances.clamp(min=0).flip(0), axes.flip(1)
    variance = variances.sum()
    count = int((variances.cumsum(dim=0) < EXPLAINED_VARIANCE * variance).sum()) + 1 if variance > MIN_VARIANCE else 0
    return Subspace(mean.float(), axes[:, :count].T.contiguous().float(), variance.float())


def subspace_residuals(patches: torch.Tensor, subspace: Subspace) -> torch.Tensor:
    """Return the squared length of the part of (N, D), at unit length, outside the subspace, as fractions of the
    variance: (N,)."""
    deviations = to_unit_length(patches) - subspace.mean
    outside = deviations - deviations @ subspace.axes.T @ subspace.axes
    return outside.square().sum(dim=1) / subspace.variance.clamp(min=MIN_VARIANCE)


def _residuals(tokens: torch.Tensor, subspaces: Sequence[Subspace]) -> torch.Tensor:
    """Return the mean over layers of one image's residuals: (L, P, D) to (P,)."""
    layers = zip(tokens, subspaces, strict=True)
    return torch.stack([subspace_residuals(patches, subspace) for patches, subspace in layers]).mean(dim=0)


def _to_tensors(subspaces: Sequence[Subspace]) -> dict[str, torch.Tensor]:
    return {
        f"{name} {layer}": tensor
        for layer, subspace in enumerate(subspaces)
        for name, tensor in (("mean", subspace.mean), ("axes", subspace.axes), ("variance", subspace.variance))
    }


def _subspaces(fitted: Mapping[str, torch.Tensor]) -> list[Subspace]:
    layers = range(len(fitted) // 3)
    return [Subspace(fitted[f"mean {n}"], fitted[f"axes {n}"], fitted[f"variance {n}"]) for n in layers]
