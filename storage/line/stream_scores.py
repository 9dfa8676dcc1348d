"""The scores of the frames that streamed by a station, with their labels: what a station learns its limits from."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.database.tables import ReviewedFrameRow, VerdictRow
from storage.line.decision import Decision
from storage.review.labels import Label

MAX_FRAMES = 2000
"""Newest frames that limits are learnt from: twenty lie above a threshold at 1 %."""


@dataclass(frozen=True, slots=True)
class StreamScore:
    """The score of a frame by the station's present normal set and model; `label` is the one in force, if any."""

    frame_id: UUID
    captured_at: datetime
    decision: Decision
    score: float
    image_reference: str
    label: Label | None


def recent(
    session: Session, station_id: int, normal_set_id: int, model_id: str, since: datetime, limit: int = MAX_FRAMES
) -> list[StreamScore]:
    """Return the newest `limit` frames captured at `since` or later and scored by this set and model, newest first."""
    newest = (
        select(*_COLUMNS, VerdictRow.id)
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
    of_verdict: list[Any] = [newest.c[column.key] for column in _COLUMNS]
    rows = session.execute(
        select(*of_verdict, ReviewedFrameRow.label)
        .outerjoin(ReviewedFrameRow, ReviewedFrameRow.frame_id == newest.c.frame_id)
        .order_by(newest.c.captured_at.desc(), newest.c.id.desc())
    )
    return [StreamScore(**row._mapping) for row in rows]


_OF_VERDICT = ("frame_id", "captured_at", "decision", "score", "image_reference")
_COLUMNS = tuple(getattr(VerdictRow, name) for name in _OF_VERDICT)
