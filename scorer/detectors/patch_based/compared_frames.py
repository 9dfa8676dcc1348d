"""Frames of a stream compared with a bank of normals, each without itself: scores, evidence and descriptors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from scorer.detectors.nearest_patch import TOP_FRACTION
from scorer.detectors.patch_based.bank import PatchBank
from scorer.detectors.patch_based.bank_search import distance_maps
from scorer.detectors.patch_based.evidence import evidence
from scorer.detectors.patch_based.patches import Patches
from scorer.distances.pooling import mean_of_largest_per_image

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ComparedFrames:
    """B frames compared with references.

    Attributes:
        scores: Their anomaly scores, (B,).
        evidence: Features of their farthest patches, (B, F).
        descriptors: The mean of their patches, by which frames are compared with each other, (B, D).
    """

    scores: FloatArray
    evidence: FloatArray
    descriptors: FloatArray


@torch.inference_mode()
def compare_frames(
    frames: Patches, fitted: Mapping[str, torch.Tensor], own_normals: Sequence[int | None]
) -> ComparedFrames:
    """Compare frames with the normals that nearest patch was fitted to.

    Args:
        frames: The tokens of B frames.
        fitted: The tensors of the references.
        own_normals: For each frame its index among the normals, which it is then not compared with; None for a frame
            that is no normal.
    """
    bank = PatchBank.from_tensors(fitted)
    scores, features = [], []
    for index, own in enumerate(own_normals):
        others = bank if own is None else replace(bank.without(own), origin=bank.origin)
        frame = frames.take([index])
        distances = distance_maps(frame, [(1, others)])
        scores.append(float(mean_of_largest_per_image(distances, frame.valid_mask, TOP_FRACTION)))
        features.append(evidence(frame, distances, others)[0].cpu().numpy())
    return ComparedFrames(np.asarray(scores), np.stack(features).astype(np.float64), frames.descriptors())
