"""Whether a station scores with a defect head: only where that lets nothing pass that its own normals would flag.

Both scores are compared on the same frames of the station, each with the threshold that these frames lead to, and each
as if nothing had been learnt from the frame itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from storage.line.decision import decide
from storage.review.labels import Label

FloatArray = npt.NDArray[np.float64]

MAX_RELEASED = 0.10
"""The share of the frames flagged without the head that may pass with it though nobody reviewed them."""

EXPECTED_FALSE_REJECTS = 2.0
"""So many times the promised false rejects may pass anyway: most of them are good parts. A lamp that fades flags many
more, and no limit may follow it in silence."""


@dataclass(frozen=True, slots=True)
class HeadComparison:
    """What a head changes on frames of its station.

    Attributes:
        frames: How many frames were compared.
        caught: Confirmed defects that are flagged with the head.
        caught_without: Confirmed defects that are flagged without it.
        flagged_without: Frames that are flagged without it.
        released: Those of them that pass with it and that nobody reviewed.
    """

    frames: int
    caught: int
    caught_without: int
    flagged_without: int
    released: int

    def objection(self, false_reject_rate: float) -> str | None:
        """Return why the head is not used, one sentence; None where it is.

        Args:
            false_reject_rate: The promise, a fraction between 0 and 1, both excluded.
        """
        if self.caught < self.caught_without:
            return f"With it {self.caught} of the confirmed defects would be flagged, without it {self.caught_without}."
        expected = EXPECTED_FALSE_REJECTS * false_reject_rate * self.frames
        if self.released > max(1.0, expected, MAX_RELEASED * self.flagged_without):
            return f"{self.released} of {self.flagged_without} flagged frames would pass unreviewed: review them."
        return None


def compare_heads(
    scores: FloatArray, threshold: float, with_head: FloatArray, head_threshold: float, labels: Sequence[Label | None]
) -> HeadComparison:
    """Compare the decisions on N frames without a head and with one.

    Args:
        scores: The detector's scores, (N,).
        threshold: The threshold for them.
        with_head: The scores combined with a head that was not fitted to the frame, (N,).
        head_threshold: The threshold for these.
        labels: The frames' labels.
    """
    flagged = np.array([decide(score, threshold) == "flag" for score in scores.tolist()], bool)
    flagged_with_head = np.array([decide(score, head_threshold) == "flag" for score in with_head.tolist()], bool)
    is_defect = np.array([label == "defect" for label in labels], bool)
    is_unreviewed = np.array([label is None for label in labels], bool)
    return HeadComparison(
        frames=len(scores),
        caught=int((flagged_with_head & is_defect).sum()),
        caught_without=int((flagged & is_defect).sum()),
        flagged_without=int(flagged.sum()),
        released=int((flagged & ~flagged_with_head & is_unreviewed).sum()),
    )
