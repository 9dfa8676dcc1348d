"""What a station makes of the answers of people: it asks one by one, and each answer changes its scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from scorer.detectors.capabilities.defect_term import DefectTerm
from scorer.learning.combined_score import HeadScale
from scorer.learning.defect_head import DefectHead, cross_fitted_logits
from scorer.learning.review_questions import next_question

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class StreamFrames:
    """What is known of N frames of a stream, each compared with references that do not contain it.

    Attributes:
        identities: A different text per frame.
        scores: The detector's scores, (N,).
        evidence: Features of the farthest patches, (N, F); see `scorer.detectors.patch_based.evidence`.
        descriptors: A vector per frame by which frames are compared, (N, D).
    """

    identities: Sequence[str]
    scores: FloatArray
    evidence: FloatArray
    descriptors: FloatArray


@dataclass(frozen=True, slots=True)
class FittedHead:
    """A defect head with the scale that brings its logits to the unit of the scores."""

    head: DefectHead
    scale: HeadScale

    def combine(self, scores: FloatArray, evidence: FloatArray) -> FloatArray:
        """Return the combined scores, (N,), of frames that the head was not fitted to."""
        return self.scale.combine(scores, self.head.logits(evidence))

    def term(self) -> DefectTerm:
        """Return the same as the term that a detector adds to its scores, rounded to float32."""
        slope = self.scale.log_score_per_logit
        weights = slope * self.head.coefficients / self.head.std
        offset = slope * (self.head.intercept - self.scale.median) - float(weights @ self.head.mean)
        return DefectTerm(weights.astype(np.float32), offset)


@dataclass(frozen=True, slots=True)
class Learned:
    """What the answers led to.

    Attributes:
        scores: The frames' scores, combined with the head where there is one, each without the frame itself: (N,).
        is_defect: The frames that were called defects, (N,).
        answered: The indices of the frames that were asked about, in order.
        head: None until a defect was found.
    """

    scores: FloatArray
    is_defect: BoolArray
    answered: Sequence[int] = field(default_factory=tuple)
    head: FittedHead | None = None


def learn(frames: StreamFrames, answers: int, is_defect: Callable[[int], bool]) -> Learned:
    """Ask about up to `answers` frames.

    Args:
        frames: The stream so far.
        answers: How many frames people have time for.
        is_defect: Returns a person's answer on the frame of that index.
    """
    learned = Learned(frames.scores, np.zeros(len(frames.scores), bool))
    for _ in range(answers):
        asked = next_question(learned.scores, frames.descriptors, learned.answered)
        if asked is None:
            break
        labels = learned.is_defect.copy()
        labels[asked] = is_defect(asked)
        learned = apply_answers(frames, labels, (*learned.answered, asked))
    return learned


def apply_answers(frames: StreamFrames, is_defect: BoolArray, answered: Sequence[int]) -> Learned:
    """Fit the head to answers that were given.

    Args:
        frames: The stream so far.
        is_defect: Which frames were called defects, (N,).
        answered: The indices of the frames that were answered.
    """
    if not is_defect.any() or is_defect.all():
        return Learned(frames.scores, is_defect, answered)
    logits = cross_fitted_logits(frames.evidence, is_defect, frames.identities)
    scale = HeadScale.from_good_frames(frames.scores[~is_defect], logits[~is_defect])
    head = FittedHead(DefectHead.fit(frames.evidence, is_defect), scale)
    return Learned(scale.combine(frames.scores, logits), is_defect, answered, head)
