"""Whether a station may activate a normal set by itself: the guard rails of the autopilot.

Each is a reason to leave the decision to a person. They compare what the present set and the proposed one say of the
same frames, none of which is among the normals of either, and on which the new threshold was calibrated.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from scorer.learning.stream_thresholds import MAX_FLAG_RATE
from storage.line.decision import decide
from storage.review.labels import Label

MAX_RELEASED = 0.10
"""The share of flagged frames that nobody reviewed which may pass with the new set; a looser limit is never silent."""


@dataclass(frozen=True, slots=True)
class TrialFrame:
    """A frame scored with the present set and the proposed one, and its label in force, if any."""

    score: float
    proposed_score: float
    label: Label | None


def reasons_against(
    frames: Sequence[TrialFrame], threshold: float, proposed_threshold: float | None, drift: bool
) -> list[str]:
    """Return why a proposed normal set must not be activated without a person, one sentence per reason.

    Args:
        frames: Frames of the stream that are normals of neither set.
        threshold: The present threshold.
        proposed_threshold: That of the proposed set, calibrated on these frames; None where they are too few for it.
        drift: Whether an alert says that the scores of good parts drift.
    """
    reasons = ["An alert says that the scores drift: find out why first."] if drift else []
    if proposed_threshold is None:
        return [*reasons, f"{len(frames)} frames beside the normals are too few to calibrate a threshold on."]
    flagged = [frame for frame in frames if decide(frame.score, threshold) == "flag"]
    released = [frame for frame in flagged if decide(frame.proposed_score, proposed_threshold) == "pass"]
    escapes = sum(frame.label == "defect" for frame in released)
    if escapes:
        reasons.append(f"{escapes} confirmed defects that are flagged today would pass.")
    unreviewed = sum(frame.label is None for frame in released)
    if unreviewed > MAX_RELEASED * len(flagged):
        reasons.append(f"{unreviewed} of {len(flagged)} flagged frames would pass, and nobody reviewed them.")
    good = [frame for frame in frames if frame.label != "defect"]
    rejected = sum(decide(frame.proposed_score, proposed_threshold) == "flag" for frame in good)
    now_rejected = sum(decide(frame.score, threshold) == "flag" for frame in good)
    if rejected > max(now_rejected, MAX_FLAG_RATE * len(good) + 1):  # an estimate may flag one frame more
        reasons.append(f"{rejected} of {len(good)} frames that are no confirmed defects would be flagged.")
    return reasons
