"""A head that a station's frames lead to, with the limits for its scores, and whether it may be used."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import numpy as np
import numpy.typing as npt

from scorer.detectors.capabilities.defect_term import DefectTerm
from scorer.learning.answers import StreamFrames, apply_answers
from scorer.learning.head_gate import HeadComparison, compare_heads
from scorer.learning.limits import MIN_STREAM_FRAMES, Limits, learn_limits
from scorer.recipes.calibration import Calibration
from storage.learning.stream_scores import StreamScore

NO_CEILING = Calibration(math.inf, "")
"""What the normals allow says nothing of scores with a head; the decisions are compared instead."""


@dataclass(frozen=True, slots=True)
class LearntHead:
    """A head that was fitted to frames of a stream.

    Attributes:
        frames: The frames, each with its score by a head that was not fitted to it.
        term: The head of all frames.
        limits: What is learnt from the scores.
        comparison: What the head changes on these frames.
        objection: Why the head is not used, one sentence; None where it is.
    """

    frames: Sequence[StreamScore]
    term: DefectTerm
    limits: Limits
    comparison: HeadComparison
    objection: str | None

    @property
    def defects(self) -> set[UUID]:
        """The frames that people called defects."""
        return {frame.frame_id for frame in self.frames if frame.label == "defect"}


def learn_head(
    frames: Sequence[StreamScore],
    evidence: npt.NDArray[np.float64],
    limits: Limits,
    false_reject_rate: float,
    review_share: float,
) -> LearntHead | None:
    """Fit a head; None where the frames lack defects or others, or are too few for limits.

    Args:
        frames: N frames, none of them a normal, with their scores by the normals alone.
        evidence: What the detector sees of them, (N, F).
        limits: What is learnt from these scores.
        false_reject_rate: The promise, a fraction between 0 and 1, both excluded.
        review_share: The share of all frames that people have time to review.
    """
    if len(frames) < MIN_STREAM_FRAMES:
        return None
    labels = [frame.label for frame in frames]
    is_defect = np.array([label == "defect" for label in labels], bool)
    scores = np.array([frame.score for frame in frames], np.float64)
    identities = [str(frame.frame_id) for frame in frames]
    learned = apply_answers(StreamFrames(identities, scores, evidence, np.empty((len(frames), 0))), is_defect, ())
    if learned.head is None:
        return None
    with_head = [replace(frame, score=score) for frame, score in zip(frames, learned.scores.tolist(), strict=True)]
    head_limits = learn_limits(with_head, NO_CEILING, false_reject_rate, review_share, math.inf)
    if head_limits is None:
        return None
    comparison = compare_heads(scores, limits.threshold, learned.scores, head_limits.threshold, labels)
    objection = comparison.objection(false_reject_rate)
    if head_limits.kind != "reviewed":
        objection = "Too few of the highest frames have an answer."
    return LearntHead(with_head, learned.head.term(), head_limits, comparison, objection)
