"""Accepted frames: what they scored, so that a threshold can be calibrated from more than the normal set."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.database.tables import ReviewedFrameRow, VerdictRow


@dataclass(frozen=True, slots=True)
class AcceptedScores:
    """Scores newest first, of frames that passed and nobody called a defect or unsure, and of false alarms.

    While `flagged_unreviewed` is above 0 the scores lack those frames' upper end, so what is calibrated from them
    promises too much: review these first.
    """

    scores: tuple[float, ...]
    flagged_unreviewed: int


def recent(
    session: Session, station_id: int, normal_set_id: int, model_id: str, since: datetime, limit: int = 5000
) -> AcceptedScores:
    """Of the station's newest `limit` verdicts by this set and model, of those captured at `since` or later."""
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
