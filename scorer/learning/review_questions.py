"""Which frame of a stream a person is asked about next: the highest unanswered score, one per look-alike group.

Each answer changes the head, and so the order of what is asked: asked one by one, ten answers find more defects than
the ten highest scores hold.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

LOOK_ALIKE_COSINE = 0.995
"""Descriptors with a larger cosine show the same thing, and one answer is enough for both."""


def next_question(
    scores: npt.NDArray[np.float64], descriptors: npt.NDArray[np.float64], answered: Sequence[int]
) -> int | None:
    """Return the index of the frame to ask about; None where every frame was answered.

    Frames that look like an answered one are asked only when no other is left.

    Args:
        scores: The current score of each of N frames, (N,).
        descriptors: A vector per frame, (N, D), whose cosine tells whether two look alike.
        answered: The indices of the frames that were answered.
    """
    left = np.setdiff1d(np.arange(len(scores)), np.asarray(answered, np.int64))
    if not len(left):
        return None
    unlike = left
    if len(answered):
        unit = descriptors / np.maximum(np.linalg.norm(descriptors, axis=1, keepdims=True), np.finfo(np.float64).tiny)
        unlike = left[(unit[left] @ unit[list(answered)].T).max(axis=1) <= LOOK_ALIKE_COSINE]
    candidates = unlike if len(unlike) else left
    return int(candidates[scores[candidates].argmax()])
