"""SPADE: the nearest normals by their mean feature show whether an image is anomalous, their patches show where.

Cohen and Hoshen, "Sub-Image Anomaly Detection with Deep Pyramid Correspondences", arXiv 2005.02357.

The image score is the mean squared distance of an image's mean feature to those of the `NEAREST_NORMALS` nearest
normals. Their patches, all layers side by side (the paper's pyramid), make up a gallery, and the map is each patch's
distance to its nearest in it. The map's largest value is a component of its own: a small defect hardly moves a mean
feature, so the paper's image score is weak for small ones.
"""

from collections.abc import Mapping

import torch

from scorer.detectors.patch_based.method import MethodConfig
from scorer.detectors.patch_based.patches import Patches
from scorer.detectors.score_tensors import ScoreTensors
from scorer.distances.euclidean import concat_layers, nearest_euclidean

NEAREST_NORMALS = 50
"""An image is compared with this many normals, or with all where fewer exist (the paper's K)."""


class Spade:
    """SPADE on any backbone with patch tokens."""

    name = "spade"
    rotations = (0,)

    def __init__(self) -> None:
        self.configuration: MethodConfig = {"nearest_normals": NEAREST_NORMALS}

    def fit(self, normals: Patches) -> Mapping[str, torch.Tensor]:
        """Store the normals' mean features (K, D), all their patches (K, P, D), and which of them are valid (K, P)."""
        patches = concat_layers(normals.tokens)
        return {"means": mean_features(normals), "patches": patches, "valid_mask": normals.valid_mask}

    def score(self, queries: Patches, fitted: Mapping[str, torch.Tensor]) -> ScoreTensors:
        """Score images; the component is the distance of the farthest patch."""
        maps = torch.zeros_like(queries.valid_mask, dtype=torch.float32)
        image = torch.empty(queries.image_count, device=maps.device)
        images = zip(mean_features(queries), concat_layers(queries.tokens), queries.valid_mask, strict=True)
        for index, (mean, patches, valid) in enumerate(images):
            distances = squared_distances(mean, fitted["means"])
            closest = distances.topk(min(NEAREST_NORMALS, len(distances)), largest=False)
            image[index] = closest.values.mean()
            gallery = fitted["patches"][closest.indices][fitted["valid_mask"][closest.indices]]  # (M, D)
            maps[index, valid] = nearest_euclidean(patches[valid], gallery)[0]
        return ScoreTensors(image, maps, {"farthest patch": maps.amax(dim=1)})

    def leave_one_out(self, normals: Patches, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Score each normal's mean feature against those of the others, (K,); patches do not enter the score."""
        scores = []
        for normal, mean in enumerate(fitted["means"]):
            distances = squared_distances(mean, fitted["means"])
            others = torch.cat([distances[:normal], distances[normal + 1 :]])
            scores.append(others.topk(min(NEAREST_NORMALS, len(others)), largest=False).values.mean())
        return torch.stack(scores)


def mean_features(images: Patches) -> torch.Tensor:
    """Return the mean feature of each image, without padding: (B, D)."""
    valid = images.valid_mask[:, :, None].to(images.tokens.dtype)
    return (concat_layers(images.tokens) * valid).sum(dim=1) / valid.sum(dim=1)


def squared_distances(mean: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Return the squared distance of (D,) to each of (K, D): (K,)."""
    return (others - mean).square().sum(dim=1)
