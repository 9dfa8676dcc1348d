"""The limits that a stream leads to, given the thresholds that a station had: none rises beyond them in silence."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from scorer.learning.limits import Limits, learn_limits
from scorer.recipes.calibration import Calibration
from storage.learning.stream_scores import StreamScore
from storage.line.thresholds import Threshold

DAY = timedelta(days=1)


def limits_from_history(
    frames: Sequence[StreamScore],
    history: Sequence[Threshold],
    review_share: float,
    activated_at: datetime | None,
    now: datetime,
) -> Limits | None:
    """Return the limits that the stream leads to; None while it is too short, or a person set the threshold.

    Args:
        frames: The stream, scored by one normal set and model.
        history: The thresholds of that set and model, the newest first, at least one.
        review_share: The share of all frames that people have time to review.
        activated_at: When the normal set was activated.
        now: The present.
    """
    current = history[0]
    baseline = next((one for one in history if _is_baseline(one, current, activated_at)), None)
    if current.kind == "manual" or baseline is None:
        return None
    calibrated = Calibration(baseline.value, baseline.guarantee)
    lowest = _lowest_of_day(history, now)
    return learn_limits(frames, calibrated, current.false_reject_rate, review_share, lowest)


def limits_with_head(
    frames: Sequence[StreamScore], history: Sequence[Threshold], review_share: float, now: datetime
) -> Limits | None:
    """Return the limits of scores with a defect head, as `limits_from_history`.

    The baseline is the threshold with which the head came into use.
    """
    current, first = history[0], history[-1]
    if current.kind == "manual" or not is_comparable(first, current):
        return None
    calibrated = Calibration(first.value, first.guarantee)
    lowest = _lowest_of_day(history, now)
    return learn_limits(frames, calibrated, current.false_reject_rate, review_share, lowest)


def _is_baseline(threshold: Threshold, current: Threshold, activated_at: datetime | None) -> bool:
    """Return whether no stream may raise the limits beyond this threshold in silence.

    It is the one that the normals alone allow, or the one with which a set was activated that was tried before: normals
    that were chosen for their low scores say too little of a threshold.
    """
    was_tried = activated_at is not None and threshold.made_at <= activated_at and threshold.kind != "manual"
    return is_comparable(threshold, current) and (threshold.kind == "calibrated" or was_tried)


def is_comparable(threshold: Threshold, current: Threshold) -> bool:
    """Return whether a threshold holds for the rate and the references of today."""
    return (threshold.false_reject_rate, threshold.references_digest) == (
        current.false_reject_rate,
        current.references_digest,
    )


def _lowest_of_day(history: Sequence[Threshold], now: datetime) -> float:
    """Return the lowest threshold that was in force during the last day, of a history newest first."""
    replaced_at = [None, *(threshold.made_at for threshold in history)]
    in_force = [
        threshold.value
        for threshold, until in zip(history, replaced_at, strict=False)
        if until is None or until > now - DAY
    ]
    return min(in_force)
