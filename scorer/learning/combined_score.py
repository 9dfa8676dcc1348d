"""One score from a detector's score and a defect head's logit, in the detector's unit.

The logarithm of the detector's score is raised by the head's logit, after both were brought to one scale: a frame whose
logit lies one standard deviation of the good frames above their median counts as one whose score lies `HEAD_WEIGHT`
standard deviations of the logarithms above. Without a head the combined score is the detector's.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scorer.detectors.capabilities.defect_term import MAX_LOG_FACTOR
from scorer.recipes.calibration import MIN_SCORE

FloatArray = npt.NDArray[np.float64]

HEAD_WEIGHT = 2.0
"""Standard deviations of the logarithm of the score that one of the logit counts for."""

MIN_STD = 1e-9


@dataclass(frozen=True, slots=True)
class HeadScale:
    """How a logit becomes a factor of the score.

    Attributes:
        median: The median logit of good frames.
        log_score_per_logit: What one unit of the logit adds to the logarithm of the score.
    """

    median: float
    log_score_per_logit: float

    @classmethod
    def from_good_frames(cls, scores: FloatArray, logits: FloatArray) -> "HeadScale":
        """Return the scale for the scores and logits of good frames, both (N,), the logits cross-fitted."""
        log_std = float(np.log(np.maximum(scores, MIN_SCORE)).std())
        return cls(float(np.median(logits)), HEAD_WEIGHT * log_std / max(float(logits.std()), MIN_STD))

    def combine(self, scores: FloatArray, logits: FloatArray) -> FloatArray:
        """Return the combined scores of frames, (N,)."""
        logarithms = np.clip(self.log_score_per_logit * (logits - self.median), -MAX_LOG_FACTOR, MAX_LOG_FACTOR)
        combined: FloatArray = np.maximum(scores, MIN_SCORE) * np.exp(logarithms)
        return combined
