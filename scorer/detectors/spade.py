"""SPADE: the nearest normals by their mean feature say whether, their patches say where.

Cohen and Hoshen, "Sub-Image Anomaly Detection with Deep Pyramid Correspondences", arXiv 2005.02357.

The image score is the mean squared distance of a picture's mean feature to those of the `NEAREST_NORMALS` nearest
normals. Their patches, all layers side by side (the paper's pyramid), make up a gallery, and the map is each patch's
distance to its nearest in it. The map's largest value is a component of its own: a small defect hardly moves a mean
feature, so the paper's image score is weak for small ones.
"""

from collections.abc import Mapping

import torch

from scorer.detectors.patch_method import MethodConfig
from scorer.detectors.patches import Patches
from scorer.detectors.score_tensors import ScoreTensors
from scorer.distances.euclidean import concat_layers, nearest_euclidean

NEAREST_NORMALS = 50
"""So many normals a picture is compared with, or all there are (the paper's K)."""


class Spade:
    """SPADE on any backbone with patch tokens."""

    name = "spade"
    rotations = (0,)

    def __init__(self) -> None:
        self.configuration: MethodConfig = {"nearest_normals": NEAREST_NORMALS}

    def fit(self, normals: Patches) -> Mapping[str, torch.Tensor]:
        """Keep the normals' mean features and all their patches."""
        return {
            "means": mean_features(normals),
            "patches": concat_layers(normals.tokens),
            "valid_mask": normals.valid_mask,
        }

    def score(self, queries: Patches, fitted: Mapping[str, torch.Tensor]) -> ScoreTensors:
        """The component beside the score is the farthest patch."""
        maps = torch.zeros_like(queries.valid_mask, dtype=torch.float32)
        image = torch.empty(queries.image_count, device=maps.device)
        pictures = zip(mean_features(queries), concat_layers(queries.tokens), queries.valid_mask, strict=True)
        for place, (mean, patches, seen) in enumerate(pictures):
            distances = squared_distances(mean, fitted["means"])
            closest = distances.topk(min(NEAREST_NORMALS, len(distances)), largest=False)
            image[place] = closest.values.mean()
            gallery = fitted["patches"][closest.indices][fitted["valid_mask"][closest.indices]]
            maps[place, seen] = nearest_euclidean(patches[seen], gallery)[0]
        return ScoreTensors(image, maps, {"farthest patch": maps.amax(dim=1)})

    def leave_one_out(self, normals: Patches, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Each normal's mean feature against those of the others; their patches have no say in the score."""
        scores = []
        for place, mean in enumerate(fitted["means"]):
            distances = squared_distances(mean, fitted["means"])
            others = torch.cat([distances[:place], distances[place + 1 :]])
            scores.append(others.topk(min(NEAREST_NORMALS, len(others)), largest=False).values.mean())
        return torch.stack(scores)


def mean_features(pictures: Patches) -> torch.Tensor:
    """The mean feature of each picture, bars left out: (B, D)."""
    seen = pictures.valid_mask[:, :, None].to(pictures.tokens.dtype)
    return (concat_layers(pictures.tokens) * seen).sum(dim=1) / seen.sum(dim=1)


def squared_distances(mean: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """(D,) to each of (K, D): (K,)."""
    return (others - mean).square().sum(dim=1)
