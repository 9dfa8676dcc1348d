"""Scores of accepted frames, to calibrate a threshold from more than the normal set."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.database.tables import ReviewedFrameRow, VerdictRow


@dataclass(frozen=True, slots=True)
class AcceptedScores:
    """Scores, newest first, of good frames: false alarms, and passed frames not labelled a defect or unsure.

    While `flagged_unreviewed` is above 0 the scores lack the upper end of these frames, so a threshold calibrated from
    them guarantees too much: review these frames first.
    """

    scores: tuple[float, ...]
    flagged_unreviewed: int


def recent(
    session: Session, station_id: int, normal_set_id: int, model_id: str, since: datetime, limit: int = 5000
) -> AcceptedScores:
    """Return scores of frames captured at `since` or later, from the newest `limit` verdicts by this set and model."""
    newest = (
        select(VerdictRow.frame_id, VerdictRow.decision, VerdictRow.score, VerdictRow.captured_at)
        .where(
            VerdictRow.station_id == station_id,
            VerdictRow.captured_at >= since,
            VerdictRow.normal_set_id == normal_set_id,
            VerdictRow.model_id == model_id,
        )
        .order_by(VerdictRow.captured_at.desc(), VerdictRow.id.desc())
        .limit(limit)
        .subquery()
    )
    found = session.execute(
        select(newest.c.decision, newest.c.score, ReviewedFrameRow.label)
        .outerjoin(ReviewedFrameRow, ReviewedFrameRow.frame_id == newest.c.frame_id)
        .order_by(newest.c.captured_at.desc())
    ).all()
    return AcceptedScores(
        scores=tuple(
            score
            for decision, score, label in found
            if label == "false_alarm" or (decision == "pass" and label is None)
        ),
        flagged_unreviewed=sum(decision == "flag" and label is None for decision, _, label in found),
    )
