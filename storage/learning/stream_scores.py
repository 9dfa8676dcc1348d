"""The scores of the frames that streamed by a station, with their labels: what a station learns from."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from storage.database.tables import RescoredFrameRow, ReviewedFrameRow, StationRow, VerdictRow
from storage.line.decision import SCORED, Decision
from storage.review.labels import Label

MAX_FRAMES = 2000
"""Newest frames that limits are learnt from: twenty lie above a threshold at 1 %."""


@dataclass(frozen=True, slots=True)
class StreamScore:
    """The score of a frame by a station's normal set and model; `label` is the one in force, if any."""

    frame_id: UUID
    captured_at: datetime
    decision: Decision
    score: float
    image_reference: str
    label: Label | None


@dataclass(frozen=True, slots=True)
class StreamFrame:
    """A frame with the score of its verdict, by whatever normal set and model."""

    scored: StreamScore
    normal_set_id: int


def recent(
    session: Session, station_id: int, normal_set_id: int, model_id: str, since: datetime, limit: int = MAX_FRAMES
) -> list[StreamScore]:
    """Return the newest `limit` frames captured at `since` or later and scored by this set and model, newest first.

    A frame counts that was scored so for its verdict, and one that was scored so later (`rescored_frames`), by the
    score that its model would give it had it not learnt from the frame. Scores with another mask than the station's
    present one are left out.
    """
    of_station = VerdictRow.station_id == station_id, VerdictRow.captured_at >= since
    mask_version = select(StationRow.mask_version).where(StationRow.id == station_id).scalar_subquery()
    decided = (
        _select()
        .where(*of_station, VerdictRow.normal_set_id == normal_set_id, VerdictRow.model_id == model_id)
        .where(VerdictRow.mask_version == mask_version)
        .order_by(*_NEWEST_FIRST)
        .limit(limit)
    )
    rescored = (
        select(*(RescoredFrameRow.score if name == "score" else column for name, column in _COLUMNS.items()))
        .add_columns(ReviewedFrameRow.label)
        .join(VerdictRow, VerdictRow.frame_id == RescoredFrameRow.frame_id)
        .outerjoin(ReviewedFrameRow, ReviewedFrameRow.frame_id == VerdictRow.frame_id)
        .where(RescoredFrameRow.normal_set_id == normal_set_id, RescoredFrameRow.model_id == model_id, *of_station)
        .where(RescoredFrameRow.mask_version == mask_version)
        .order_by(*_NEWEST_FIRST)
        .limit(limit)
    )
    found = {
        row.frame_id: StreamScore(**row._mapping) for query in (decided, rescored) for row in session.execute(query)
    }
    return sorted(found.values(), key=lambda frame: frame.captured_at, reverse=True)[:limit]


def newest(session: Session, station_id: int, since: datetime, limit: int) -> list[StreamFrame]:
    """Return the newest `limit` frames with a score captured at `since` or later, whatever scored them."""
    of_station = VerdictRow.station_id == station_id, VerdictRow.captured_at >= since, VerdictRow.decision.in_(SCORED)
    query = _select().add_columns(VerdictRow.normal_set_id).where(*of_station).order_by(*_NEWEST_FIRST).limit(limit)
    return [_stream_frame(row) for row in session.execute(query)]


def defects(session: Session, station_id: int, limit: int) -> list[StreamScore]:
    """Return the newest `limit` frames of all times that are labelled defects, with the scores of their verdicts."""
    is_defect = ReviewedFrameRow.label == "defect", ReviewedFrameRow.station_id == station_id
    with_score = VerdictRow.station_id == station_id, VerdictRow.decision.in_(SCORED)
    query = _select().where(*is_defect, *with_score).order_by(*_NEWEST_FIRST).limit(limit)
    return [StreamScore(**row._mapping) for row in session.execute(query)]


_COLUMNS = {
    name: getattr(VerdictRow, name) for name in ("frame_id", "captured_at", "decision", "score", "image_reference")
}
_NEWEST_FIRST = VerdictRow.captured_at.desc(), VerdictRow.id.desc()


def _select() -> Select[Any]:
    with_label = select(*_COLUMNS.values(), ReviewedFrameRow.label)
    return with_label.outerjoin(ReviewedFrameRow, ReviewedFrameRow.frame_id == VerdictRow.frame_id)


def _stream_frame(row: Any) -> StreamFrame:
    values: dict[str, Any] = dict(row._mapping)
    normal_set_id: int = values.pop("normal_set_id")
    return StreamFrame(StreamScore(**values), normal_set_id)
