"""PatchCore: a memory of the normals' patches, thinned to a coreset; how far a picture's farthest patch lies from it.

Roth, Pemula, Zepeda, Schölkopf, Brox and Gehler, "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022,
arXiv 2106.08265.

A patch is made aware of its surroundings by averaging over 3 × 3 cells in each layer; the layers stand side by side.
The image score is the largest distance to the memory, lowered where the nearest patch in the memory lies as close to
others: there a deviation says less. A normal is scored against the other normals' patches of the same coreset, which
spares one coreset a normal.
"""

from collections.abc import Mapping, Sequence

import torch
from einops import rearrange
from torch.nn import functional

from scorer.detectors.patch_method import MethodConfig, leave_one_out_by_refitting
from scorer.detectors.patches import Patches
from scorer.detectors.score_tensors import ScoreTensors
from scorer.distances.coreset import greedy_coreset
from scorer.distances.euclidean import nearest_euclidean, used_channels

NEIGHBOURHOOD = 3
"""Cells along each side over which a patch is averaged (the paper's p)."""

WIDTH = 1024
"""Wider patches are averaged over neighbouring channels to this width (the paper's d)."""

CORESET_FRACTION = 0.1
"""Share of the patches that the coreset keeps (the paper's PatchCore-10 %)."""

MAX_CORESET = 4096
"""However many the share makes, no more are kept: a coreset takes time by its size."""

NEIGHBOURS = 9
"""How many patches around the nearest one weigh the image score (b, as in the authors' code)."""


class PatchCore:
    """PatchCore on any backbone with patch tokens."""

    name = "patchcore"
    rotations = (0,)

    def __init__(self, kept_share: float = CORESET_FRACTION, surroundings: int = NEIGHBOURHOOD) -> None:
        """`surroundings` of 1 is for a backbone that averages by itself, before its layers meet on one grid."""
        self._kept_share = kept_share
        self._surroundings = surroundings
        self.configuration: MethodConfig = {
            "surroundings": surroundings,
            "outside_is_zero": True,
            "width": WIDTH,
            "kept_share": kept_share,
            "most_kept": MAX_CORESET,
            "neighbours": NEIGHBOURS,
        }

    def fit(self, normals: Patches) -> Mapping[str, torch.Tensor]:
        """Keep a coreset of the patches and, of each, the normal it is of."""
        exact = normals.in_fp32()
        widths = used_channels(exact.tokens)
        patches = locally_aware_patches(exact, widths, self._surroundings)[normals.valid_mask]
        owners = torch.arange(normals.image_count, device=patches.device)[:, None].expand_as(normals.valid_mask)
        size = min(len(patches), MAX_CORESET, max(round(len(patches) * self._kept_share), NEIGHBOURS))
        chosen = greedy_coreset(patches, size) if size < len(patches) else torch.arange(size, device=patches.device)
        kept = {"kept": patches[chosen], "owners": owners[normals.valid_mask][chosen]}
        return kept | {"widths": torch.tensor(widths)}

    def score(self, queries: Patches, fitted: Mapping[str, torch.Tensor]) -> ScoreTensors:
        """The component beside the score is the largest distance before it is weighed."""
        everywhere = locally_aware_patches(queries, fitted["widths"].tolist(), self._surroundings)
        maps = torch.zeros_like(queries.valid_mask, dtype=torch.float32)
        image = torch.empty(queries.image_count, device=maps.device)
        for place, (patches, seen) in enumerate(zip(everywhere, queries.valid_mask, strict=True)):
            maps[place, seen], image[place] = _judged(patches[seen], fitted["kept"])
        return ScoreTensors(image, maps, {"farthest patch": maps.amax(dim=1)})

    def leave_one_out(self, normals: Patches, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Against the coreset's patches of the other normals; anew without a normal that owns the whole coreset."""
        everywhere, scores = locally_aware_patches(normals, fitted["widths"].tolist(), self._surroundings), []
        for place, (patches, seen) in enumerate(zip(everywhere, normals.valid_mask, strict=True)):
            others = fitted["kept"][fitted["owners"] != place]
            if len(others) == 0:
                return leave_one_out_by_refitting(self, normals)
            scores.append(_judged(patches[seen], others)[1])
        return torch.stack(scores)


def locally_aware_patches(pictures: Patches, widths: Sequence[int], surroundings: int = NEIGHBOURHOOD) -> torch.Tensor:
    """Patches averaged over their surroundings, layers joined, at most `WIDTH` wide: (B, P, D).

    What lies outside the picture counts as zero, as in the authors' code: what a network makes of its own padding is
    odd, and so it weighs less. widths: how many channels of each layer are used.
    """
    rows = pictures.grid[0]
    valid_mask = rearrange(pictures.valid_mask, "b (r c) -> b 1 r c", r=rows)
    means = []
    for layer, width in zip(pictures.tokens, widths, strict=True):
        maps = rearrange(layer[:, :, :width], "b (r c) w -> b w r c", r=rows)  # channels last, as tokens lie in memory
        if not valid_mask.all():
            maps = maps.masked_fill(~valid_mask, 0)
        averaged = functional.avg_pool2d(maps, surroundings, stride=1, padding=surroundings // 2)
        means.append(rearrange(averaged, "b w r c -> b (r c) w"))
    side_by_side = torch.cat(means, dim=2)
    return functional.adaptive_avg_pool1d(side_by_side, WIDTH) if side_by_side.shape[2] > WIDTH else side_by_side


def _judged(patches: torch.Tensor, kept: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Distance of each of (N, D) patches to the memory, (N,), and the image score."""
    distances, places = nearest_euclidean(patches, kept)
    farthest = distances.argmax()
    return distances, neighbourhood_weight(patches[farthest], places[farthest], kept) * distances[farthest]


def neighbourhood_weight(patch: torch.Tensor, place: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """1 − e^d(patch, m*) / Σ e^d(patch, m) over the neighbours m of m* = kept[place], itself one of them (equation 7).

    A memory of one patch has nothing to weigh by: 1.
    """
    if len(kept) == 1:
        return torch.ones((), device=kept.device)
    around = (kept - kept[place]).norm(dim=1)
    around[place] = -1  # first even where a neighbour equals it
    neighbours = around.topk(min(NEIGHBOURS, len(kept)), largest=False).indices
    distances = (kept[neighbours] - patch).norm(dim=1)
    weighed: torch.Tensor = 1 - distances.softmax(dim=0)[0]
    return weighed
