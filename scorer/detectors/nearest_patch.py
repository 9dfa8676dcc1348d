"""Nearest patch: the distance of each patch of an image to the nearest patch of the normals.

The memory bank of PatchCore (Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022), with
cosine distance, without coreset and re-weighting:

    map(p) = 1/L · Σ_l  w_l · min_{q ∈ N(p)}  ½ (1 − cos(x_l(p), y_l(q)))        score = mean of the largest 3 % of map

x are the tokens of the image, y those of the normals. N(p) is everywhere, or the window around p; which of the two is
decided by the station's own normals, each scored against the others (leave-one-out). The layer weights w_l divide each
layer by the normals' own level in it, so that none outweighs the others (docs/adr/0008).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from scorer.detectors.patch_based.bank import PatchBank
from scorer.detectors.patch_based.bank_search import distance_maps, nearest_distances
from scorer.detectors.patch_based.evidence import evidence
from scorer.detectors.patch_based.method import MethodConfig
from scorer.detectors.patch_based.patches import Patches
from scorer.detectors.score_tensors import ScoreTensors
from scorer.distances.pooling import mean_of_largest, mean_of_largest_per_image

TOP_FRACTION = 0.03
"""The image score is the mean of this fraction of the patches, the farthest ones."""

WINDOW_RADIUS = 2
"""In a window a patch is compared with those at most this many cells up, down, left and right of its own position."""

ALIGNED_RATIO = 1.25
"""Normals are aligned when the window raises the mean of their leave-one-out scores at most by this factor."""

MIN_LEVEL = 1e-4
"""Below this a layer's level is rounding: the normals are copies of each other."""


class NearestPatch:
    """Nearest patch on any backbone with patch tokens."""

    name = "nearest-patch"
    rotations = (0,)

    def __init__(self) -> None:
        self.configuration: MethodConfig = {
            "top_fraction": TOP_FRACTION,
            "window_radius": WINDOW_RADIUS,
            "aligned_ratio": ALIGNED_RATIO,
            "min_level": MIN_LEVEL,
            "bank_layout": "by row, padding cropped",
        }

    def fit(self, normals: Patches) -> Mapping[str, torch.Tensor]:
        """Store all patches, in bf16 where the network computes in it, the layer weights and the window."""
        bank = PatchBank.of(normals.in_fp32())
        if normals.image_count > 1:
            anywhere = _leave_one_out_by_layer(bank)
            bank = replace(bank, layer_weights=_layer_weights(bank, anywhere))
            bank = replace(bank, window=WINDOW_RADIUS if _is_aligned(bank, anywhere) else 0)
        return bank.to_dtype(torch.float32 if normals.fp32_tokens is None else torch.bfloat16).to_tensors()

    def leave_one_out(self, normals: Patches, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Score each normal against the others, with the weights and the window of all together: (K,)."""
        fitted_bank = PatchBank.from_tensors(fitted)
        bank = PatchBank.of(normals).to_dtype(fitted_bank.layers[0].dtype)
        return _leave_one_out_scores(replace(bank, layer_weights=fitted_bank.layer_weights, window=fitted_bank.window))

    def score(self, queries: Patches, fitted: Mapping[str, torch.Tensor]) -> ScoreTensors:
        """Score images of one station; the component is the distance of the farthest patch."""
        return self.score_groups(queries, [(queries.image_count, fitted)])

    def score_groups(self, queries: Patches, groups: Sequence[tuple[int, Mapping[str, torch.Tensor]]]) -> ScoreTensors:
        """Score images that lie station by station, those of all stations together."""
        maps = distance_maps(queries, [(count, PatchBank.from_tensors(fitted)) for count, fitted in groups])
        image = mean_of_largest_per_image(maps, queries.valid_mask, TOP_FRACTION)
        return ScoreTensors(image, maps, {"farthest patch": maps.amax(dim=1)})

    def evidence(self, queries: Patches, maps: torch.Tensor, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return what the farthest patches show, (B, F)."""
        return evidence(queries, maps, PatchBank.from_tensors(fitted))


LayerDistances = Sequence[Sequence[torch.Tensor]]
"""For each layer and normal the distances of its valid patches to the nearest of the others, (valid patches,)."""


def _leave_one_out_by_layer(bank: PatchBank) -> LayerDistances:
    """Return the distances in each layer alone, to the nearest patch anywhere."""
    single = [replace(bank, layers=[layer], layer_weights=bank.layer_weights[:1], window=0) for layer in bank.layers]
    return [_leave_one_out_distances(layer) for layer in single]


def _layer_weights(bank: PatchBank, anywhere: LayerDistances) -> torch.Tensor:
    """Return the mean level of all layers divided by that of each, (L,); 1 for a single layer."""
    if len(bank.layers) == 1:
        return bank.layer_weights
    levels = torch.stack([torch.cat(list(layer)).mean() for layer in anywhere]).clamp(min=MIN_LEVEL)
    return levels.mean() / levels


def _is_aligned(bank: PatchBank, anywhere: LayerDistances) -> bool:
    """Return whether the normals resemble each other position by position."""
    weights = bank.layer_weights / len(bank.layers)
    weighted = [sum(w * d for w, d in zip(weights, layers, strict=True)) for layers in zip(*anywhere, strict=True)]
    far = torch.stack([mean_of_largest(distances, TOP_FRACTION) for distances in weighted]).mean()
    nearby = _leave_one_out_scores(replace(bank, window=WINDOW_RADIUS)).mean()
    return bool(nearby <= ALIGNED_RATIO * far)


def _leave_one_out_scores(bank: PatchBank) -> torch.Tensor:
    """Return the score of each normal against all the others, (K,)."""
    return torch.stack([mean_of_largest(distances, TOP_FRACTION) for distances in _leave_one_out_distances(bank)])


def _leave_one_out_distances(bank: PatchBank) -> list[torch.Tensor]:
    """Return for each normal the distances of its valid patches to those of the others, (valid patches,)."""
    rows, normals, columns = bank.valid_mask.shape
    distances = []
    for normal in range(normals):
        valid = bank.valid_mask[:, normal].flatten()  # (rows · columns,)
        tokens = [layer[:, normal].flatten(0, 1)[None] for layer in bank.layers]  # L of (1, rows · columns, D)
        maps = nearest_distances(tokens, valid[None], (rows, columns), [(1, bank.without(normal))])
        distances.append(maps[0, valid])
    return distances
