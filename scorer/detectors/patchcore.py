"""PatchCore: a coreset of the normals' patches as memory bank; the score is the largest distance to it.

Roth, Pemula, Zepeda, Schölkopf, Brox and Gehler, "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022,
arXiv 2106.08265.

A patch is made aware of its neighbourhood by averaging over 3 × 3 cells in each layer; the layers stand side by side.
The image score is the largest distance to the memory, lowered where the nearest patch in the memory lies as close to
others: there a deviation counts less. A normal is scored against the other normals' patches of the same coreset, which
saves one coreset per normal.
"""

from collections.abc import Mapping, Sequence

import torch
from einops import rearrange
from torch.nn import functional

from scorer.detectors.patch_based.method import MethodConfig, leave_one_out_by_refitting
from scorer.detectors.patch_based.patches import Patches
from scorer.detectors.score_tensors import ScoreTensors
from scorer.distances.coreset import greedy_coreset
from scorer.distances.euclidean import nearest_euclidean, used_channels

NEIGHBOURHOOD = 3
"""Cells along each side over which a patch is averaged (the paper's p)."""

WIDTH = 1024
"""Wider patches are averaged over neighbouring channels to this width (the paper's d)."""

CORESET_RATIO = 0.1
"""Fraction of the patches that the coreset keeps (the paper's PatchCore-10 %)."""

MAX_CORESET = 4096
"""The coreset has at most this many patches, however many the fraction makes: it takes time by its size."""

NEIGHBOURS = 9
"""How many patches around the nearest one weigh the image score (b, as in the authors' code)."""


class PatchCore:
    """PatchCore on any backbone with patch tokens."""

    name = "patchcore"
    rotations = (0,)

    def __init__(self, coreset_ratio: float = CORESET_RATIO, neighbourhood: int = NEIGHBOURHOOD) -> None:
        """Choose the coreset's size and the neighbourhood.

        Args:
            coreset_ratio: Fraction of the patches that the coreset keeps, 0 to 1.
            neighbourhood: Cells along each side over which a patch is averaged; 1 for a backbone that averages by
                itself, before its layers are brought to one grid.
        """
        self._coreset_ratio = coreset_ratio
        self._neighbourhood = neighbourhood
        self.configuration: MethodConfig = {
            "neighbourhood": neighbourhood,
            "zero_padding": True,
            "width": WIDTH,
            "coreset_ratio": coreset_ratio,
            "max_coreset": MAX_CORESET,
            "neighbours": NEIGHBOURS,
        }

    def fit(self, normals: Patches) -> Mapping[str, torch.Tensor]:
        """Store a coreset of the patches (M, D), the normal that each is of (M,), and the channels used per layer."""
        exact = normals.in_fp32()
        channels = used_channels(exact.tokens)
        patches = locally_aware_patches(exact, channels, self._neighbourhood)[normals.valid_mask]
        owners = torch.arange(normals.image_count, device=patches.device)[:, None].expand_as(normals.valid_mask)
        size = min(len(patches), MAX_CORESET, max(round(len(patches) * self._coreset_ratio), NEIGHBOURS))
        chosen = greedy_coreset(patches, size) if size < len(patches) else torch.arange(size, device=patches.device)
        return {
            "coreset": patches[chosen],
            "owners": owners[normals.valid_mask][chosen],
            "channels": torch.tensor(channels),
        }

    def score(self, queries: Patches, fitted: Mapping[str, torch.Tensor]) -> ScoreTensors:
        """Score images; the component is the largest distance before re-weighting."""
        by_image = locally_aware_patches(queries, fitted["channels"].tolist(), self._neighbourhood)
        maps = torch.zeros_like(queries.valid_mask, dtype=torch.float32)
        image = torch.empty(queries.image_count, device=maps.device)
        for index, (patches, valid) in enumerate(zip(by_image, queries.valid_mask, strict=True)):
            maps[index, valid], image[index] = _score_one(patches[valid], fitted["coreset"])
        return ScoreTensors(image, maps, {"farthest patch": maps.amax(dim=1)})

    def leave_one_out(self, normals: Patches, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Score each normal against the coreset's patches of the others, (K,).

        Where one normal owns the whole coreset, each normal is scored against a coreset of the others instead.
        """
        by_image = locally_aware_patches(normals, fitted["channels"].tolist(), self._neighbourhood)
        scores = []
        for normal, (patches, valid) in enumerate(zip(by_image, normals.valid_mask, strict=True)):
            others = fitted["coreset"][fitted["owners"] != normal]
            if len(others) == 0:
                return leave_one_out_by_refitting(self, normals)
            scores.append(_score_one(patches[valid], others)[1])
        return torch.stack(scores)


def locally_aware_patches(images: Patches, channels: Sequence[int], neighbourhood: int = NEIGHBOURHOOD) -> torch.Tensor:
    """Return patches averaged over their neighbourhood, layers joined, at most `WIDTH` wide: (B, P, D).

    What lies outside the image counts as zero, as in the authors' code: what a network computes of its own padding is
    odd, and so it weighs less.

    Args:
        images: The patches.
        channels: How many channels of each layer are used.
        neighbourhood: Cells along each side, an odd number.
    """
    rows = images.grid[0]
    valid_mask = rearrange(images.valid_mask, "b (r c) -> b 1 r c", r=rows)
    means = []
    for layer, used in zip(images.tokens, channels, strict=True):
        maps = rearrange(layer[:, :, :used], "b (r c) d -> b d r c", r=rows)  # channels last, as tokens lie in memory
        if not valid_mask.all():
            maps = maps.masked_fill(~valid_mask, 0)
        averaged = functional.avg_pool2d(maps, neighbourhood, stride=1, padding=neighbourhood // 2)
        means.append(rearrange(averaged, "b d r c -> b (r c) d"))
    joined = torch.cat(means, dim=2)  # (B, P, all channels)
    return functional.adaptive_avg_pool1d(joined, WIDTH) if joined.shape[2] > WIDTH else joined


def _score_one(patches: torch.Tensor, memory: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the distance of each of (N, D) to the memory, (N,), and the image score, a scalar."""
    distances, nearest = nearest_euclidean(patches, memory)
    farthest = distances.argmax()
    weight = neighbourhood_weight(patches[farthest], nearest[farthest], memory)
    return distances, weight * distances[farthest]


def neighbourhood_weight(patch: torch.Tensor, nearest: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
    """Return 1 − e^d(patch, m*) / Σ e^d(patch, m) over the neighbours m of m* = memory[nearest], itself one of them.

    This is the paper's equation 7. A memory of one patch has nothing to weigh by: 1.
    """
    if len(memory) == 1:
        return torch.ones((), device=memory.device)
    around = (memory - memory[nearest]).norm(dim=1)
    around[nearest] = -1  # first even where a neighbour equals it
    neighbours = around.topk(min(NEIGHBOURS, len(memory)), largest=False).indices
    distances = (memory[neighbours] - patch).norm(dim=1)
    weight: torch.Tensor = 1 - distances.softmax(dim=0)[0]
    return weight
