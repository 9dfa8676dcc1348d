"""The decision on a frame: the one place where an anomaly score meets a threshold.

The worker decides with it, and so does everything that asks what a decision was or would be: what-if, evaluation,
charts. The threshold is the part of a station's recipe that decides; the rest of the recipe made the score.
"""

from collections.abc import Sequence
from typing import Final, Literal

Decision = Literal["pass", "flag", "no_reference", "bad_picture"]
"""``no_reference`` is the verdict on a frame whose station has no active normal set, ``bad_picture`` that on a frame
that does not show the part properly. Neither has score or threshold: what was not seen is not judged."""

SCORED: Final[Sequence[Decision]] = ("pass", "flag")
"""The decisions by a score."""


def decide(score: float, threshold: float) -> Decision:
    """Return ``flag`` for an anomaly score above the recipe's threshold, else ``pass``."""
    return "flag" if score > threshold else "pass"


def is_borderline(decision: Decision, score: float | None, review_limit: float | None) -> bool:
    """Return whether a frame passes and still goes to review, because its score lies above the review limit.

    Args:
        decision: The decision on the frame.
        score: Its anomaly score; None without one.
        review_limit: The recipe's review limit; None where it is not known, as for verdicts of former versions: then
            no frame is borderline.
    """
    return decision == "pass" and score is not None and review_limit is not None and score > review_limit


def decide_bin(low: float, high: float, threshold: float) -> Decision | None:
    """Return the decision on a histogram's bin of scores in [low, high), low < high; None where it is not the same
    for all of them.

    A bin that begins at the threshold is flagged, although a score that equals the threshold passes: a bin does not
    tell the two apart.
    """
    if low >= threshold:
        return "flag"
    return "pass" if decide(high, threshold) == "pass" else None
