"""A station's two limits, learnt from the scores of its stream and from what people said of them.

Above the threshold ("red") a frame is flagged. Above the review limit ("amber") it passes and goes to review. While few
frames have streamed by, both come from the normals alone. A stream that nobody reviewed can make the threshold
stricter, by an estimate, and never looser than what the normals allow: a lamp that fades raises all scores, and no
limit may follow it in silence.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from scorer.learning.first_answers import MIN_GOOD_FRAMES, first_threshold
from scorer.learning.stream_thresholds import estimated_threshold, reviewed_threshold
from scorer.recipes.calibration import Calibration, calibrate
from storage.learning.stream_scores import StreamScore
from storage.line.decision import decide
from storage.line.thresholds import Threshold, ThresholdKind
from storage.review.review_queue import ASKED_FROM

MIN_STREAM_FRAMES = 100
"""Frames from which a station learns from its stream; with fewer no threshold at 1 % follows from them (rank 99)."""

MIN_DISTINCT_SCORES = 30
"""A camera that sends one image again and again gives many frames and few scores; those are no stream."""

QUESTIONS = 10
"""Frames of a stream that a station asks about."""

MIN_ANSWERS = 5
"""Answers on the highest frames of a stream from which the threshold is calibrated, and no longer estimated."""

HIGHEST_FRAMES = 2 * QUESTIONS
"""Only answers on so many of the highest scores tell where the defects begin."""

MAX_REVIEW_SHARE = 0.05
"""The largest share of the frames that go to review, whatever time people have; of the normals before there is a
stream."""

MAX_DAILY_RISE = 0.10
"""The share by which labels may raise the threshold within a day beyond what the normals allow."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a station.

    Attributes:
        threshold: A score above it is flagged.
        review_limit: A score above it, up to the threshold, goes to review; at most the threshold.
        kind: What the threshold was made from.
        guarantee: What it can guarantee, in words.
        reason: What it was learnt from, in words; empty where the normals alone speak.
    """

    threshold: float
    review_limit: float
    kind: ThresholdKind
    guarantee: str
    reason: str = ""

    def put_into(self, current: Threshold, at: datetime, by: str) -> Threshold:
        """Return the threshold that replaces the current one with these limits, made at this time by this worker."""
        return replace(
            current,
            value=self.threshold,
            review_limit=self.review_limit,
            guarantee=self.guarantee,
            made_at=at,
            made_by=by,
            kind=self.kind,
            reason=self.reason,
        )


def learn_limits(
    stream: Sequence[StreamScore],
    calibrated: Calibration,
    false_reject_rate: float,
    review_share: float,
    lowest_of_day: float,
) -> Limits | None:
    """Return the limits that a stream and its labels lead to; None while it is too short, or not answered yet.

    A stream of `ASKED_FROM` leads to limits once `MIN_ANSWERS` of its highest frames were answered, and one of
    `MIN_STREAM_FRAMES` without answers, too.

    Args:
        stream: The frames that the station's present normal set and model scored, in any order.
        calibrated: The threshold that the normals alone allow.
        false_reject_rate: The promise, a fraction between 0 and 1, both excluded.
        review_share: The share of all frames that people have time to review, flagged ones included.
        lowest_of_day: The lowest threshold that was in force during the last day.
    """
    scores = [frame.score for frame in stream]
    defects = [frame.label == "defect" for frame in stream]
    unconfirmed = [score for score, defect in zip(scores, defects, strict=True) if not defect]
    answers = count_answers(stream)
    if len(scores) < MIN_STREAM_FRAMES:
        return _first_limits(stream, calibrated, false_reject_rate, review_share, answers)
    if len(set(unconfirmed)) < MIN_DISTINCT_SCORES:
        return None
    if answers >= MIN_ANSWERS:
        kind: ThresholdKind = "reviewed"
        found = reviewed_threshold(scores, defects, false_reject_rate)
        reason = f"{len(scores)} frames of the stream and {answers} answers on the highest of them"
        ceiling = max(calibrated.value, (1 + MAX_DAILY_RISE) * lowest_of_day)
        if any(frame.label is None and decide(frame.score, calibrated.value) == "flag" for frame in stream):
            ceiling = calibrated.value  # who knows how many of those are defects
    else:
        kind = "estimated"
        found = estimated_threshold(unconfirmed, false_reject_rate)
        reason = f"{len(scores)} frames of the stream"
        ceiling = calibrated.value
    threshold = min(found.value, ceiling)
    guarantee = found.guarantee
    if threshold != found.value:
        guarantee = f"Held at {threshold:.4g}; the stream alone would allow {found.value:.4g}. {guarantee}"
    return Limits(threshold, review_limit(unconfirmed, threshold, review_share), kind, guarantee, reason)


def _first_limits(
    stream: Sequence[StreamScore],
    calibrated: Calibration,
    false_reject_rate: float,
    review_share: float,
    answers: int,
) -> Limits | None:
    """Return the limits that the answers on the first frames lead to, never looser than what the normals allow."""
    if len(stream) < ASKED_FROM or answers < MIN_ANSWERS:
        return None
    unconfirmed = [frame.score for frame in stream if frame.label != "defect"]
    defects = [frame.score for frame in stream if frame.label == "defect"]
    found = first_threshold(unconfirmed, defects, answers, false_reject_rate)
    if found is None or found.value >= calibrated.value:
        return None
    reason = f"the first {len(stream)} frames of the stream and {answers} answers on the highest of them"
    amber = review_limit(unconfirmed, found.value, review_share)
    return Limits(found.value, amber, "reviewed", found.guarantee, reason)


def has_questions(stream: Sequence[StreamScore]) -> bool:
    """Return whether a stream is long enough to ask about its highest frames."""
    different = {frame.score for frame in stream}
    return len(stream) >= ASKED_FROM and len(different) >= MIN_GOOD_FRAMES


def count_answers(stream: Sequence[StreamScore]) -> int:
    """Return how many of the highest frames of a stream people called good or defect."""
    highest = sorted(stream, key=lambda frame: (-frame.score, frame.frame_id))[:HIGHEST_FRAMES]
    return sum(frame.label in ("defect", "false_alarm") for frame in highest)


def review_limit(scores: Sequence[float], threshold: float, review_share: float) -> float:
    """Return the limit above which the share of the frames lies that people have time to review.

    Args:
        scores: Scores of frames, without confirmed defects.
        threshold: The threshold; the limit is never above it.
        review_share: A share of all frames, of which at most `MAX_REVIEW_SHARE` is used; at 0 no frame is borderline.
    """
    if review_share <= 0 or not scores:
        return threshold
    above = int(min(review_share, MAX_REVIEW_SHARE) * len(scores) + 1e-9)  # less than all of them
    return min(threshold, sorted(scores, reverse=True)[above])


def review_limit_of_normals(normal_scores: Sequence[float], threshold: float, reviews_per_shift: int) -> float:
    """Return the review limit of a station without a stream: near the point that 5 % of good parts exceed.

    Args:
        normal_scores: The leave-one-out scores of at least two normals.
        threshold: The threshold; the limit is never above it.
        reviews_per_shift: At 0 no frame is borderline.
    """
    return min(threshold, calibrate(normal_scores, MAX_REVIEW_SHARE).value) if reviews_per_shift else threshold
