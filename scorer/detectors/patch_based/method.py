"""The protocol of methods that compare patches, so that a method's file reads like its paper."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch

from scorer.detectors.patch_based.patches import Patches
from scorer.detectors.score_tensors import ScoreTensors

MethodConfig = Mapping[str, float | str | bool]


@runtime_checkable
class PatchMethod(Protocol):
    """A method that scores from patch tokens how far images are from the normals; it holds no state of a station.

    It sees patch tokens alone: framing, tiles, the backbone and the order of the normals are the `PatchDetector`'s.
    `score` of a batch equals that of its images one by one. Values in padding must neither enter a score nor what is
    stored; their map values are 0.
    """

    @property
    def name(self) -> str:
        """Name in the registry, such as ``patchcore``."""

    @property
    def configuration(self) -> MethodConfig:
        """Everything besides the tokens that its scores depend on: part of the model id."""

    @property
    def rotations(self) -> tuple[int, ...]:
        """Degrees by which copies of the normals are rotated, 0 first; ``(0,)`` for none."""

    def fit(self, normals: Patches) -> Mapping[str, torch.Tensor]:
        """Return the tensors to store of one or more normals, ready for a safetensors file."""

    def score(self, queries: Patches, fitted: Mapping[str, torch.Tensor]) -> ScoreTensors:
        """Compare images with the result of `fit`."""

    def leave_one_out(self, normals: Patches, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the score of each of K ≥ 2 normals against the others, (K,); see `leave_one_out_by_refitting`."""


@runtime_checkable
class ScoresStationGroups(Protocol):
    """A method that scores images of several stations at once, in less time than one station after another."""

    def score_groups(self, queries: Patches, groups: Sequence[tuple[int, Mapping[str, torch.Tensor]]]) -> ScoreTensors:
        """Score images that lie station by station.

        Args:
            queries: Images of all stations.
            groups: For each station the number of its images, and the result of `fit` on its normals.
        """


@runtime_checkable
class GivesEvidence(Protocol):
    """A method that tells more of images than their distance from the normals; see `patch_based.evidence`."""

    def evidence(self, queries: Patches, maps: torch.Tensor, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the evidence of B images, (B, F) float32.

        Args:
            queries: The images.
            maps: Their maps by `score`, (B, P).
            fitted: The result of `fit`; none of the images is among its normals.
        """


def leave_one_out_by_refitting(method: PatchMethod, normals: Patches) -> torch.Tensor:
    """Return each normal's score by the definition: the method is fitted again without it. (K,)."""
    queries = normals.unrotated()
    scores = [
        method.score(queries.take([position]), method.fit(normals.without(position))).image
        for position in range(normals.image_count)
    ]
    return torch.cat(scores)
