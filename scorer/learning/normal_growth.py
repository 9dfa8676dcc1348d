"""Which frames of a stream may join the normals: common kinds of good parts, as different from each other as possible.

A defect among the normals hides all that look like it. So no frame joins that a person called a defect, none that looks
like one of those, and none among the highest scores, where the unknown defects are.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

HIGHEST_SCORES = 0.20
"""The share of the stream, the highest scores, that does not join: a line with more defects has other worries."""


def propose_normals(
    scores: Sequence[float], descriptors: FloatArray, is_defect: Sequence[bool], max_count: int
) -> list[int]:
    """Return the indices of the frames that may join, the most different first.

    Args:
        scores: The score of each of N frames of the stream against the present normals.
        descriptors: A vector per frame by which frames are compared, (N, D).
        is_defect: Whether a person called the frame a defect.
        max_count: How many to propose at most.
    """
    values = np.asarray(scores, np.float64)
    defects = np.flatnonzero(np.asarray(is_defect, bool))
    allowed = np.setdiff1d(np.flatnonzero(values <= np.quantile(values, 1 - HIGHEST_SCORES)), defects)
    if len(defects):
        allowed = allowed[~_is_nearer_to(descriptors[defects], descriptors, allowed)]
    return _spread(descriptors, allowed, max_count)


def _is_nearer_to(
    defects: FloatArray, descriptors: FloatArray, allowed: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Return of each allowed frame whether a defect is nearer to it than all other allowed frames are: (allowed,)."""
    frames = descriptors[allowed]
    to_frames = _squared_distances(frames, frames)
    np.fill_diagonal(to_frames, np.inf)
    nearer: npt.NDArray[np.bool_] = _squared_distances(frames, defects).min(axis=1) < to_frames.min(
        axis=1, initial=np.inf
    )
    return nearer


def _spread(descriptors: FloatArray, allowed: npt.NDArray[np.int64], max_count: int) -> list[int]:
    """Choose by greedy k-centre: first the frame nearest to the mean, then the one farthest from those chosen."""
    if not len(allowed):
        return []
    frames = descriptors[allowed]
    next_one = int(((frames - frames.mean(axis=0)) ** 2).sum(axis=1).argmin())
    distances = np.full(len(frames), np.inf)
    chosen: list[int] = []
    for _ in range(min(max_count, len(frames))):
        chosen.append(next_one)
        distances = np.minimum(distances, _squared_distances(frames, frames[[next_one]])[:, 0])
        distances[chosen] = -np.inf
        next_one = int(distances.argmax())
    return [int(allowed[index]) for index in chosen]


def _squared_distances(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return squared Euclidean distances between the rows of (N, D) and (M, D): (N, M)."""
    products = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1) - 2 * first @ second.T
    distances: FloatArray = np.maximum(products, 0)
    return distances
