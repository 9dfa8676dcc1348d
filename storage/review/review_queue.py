"""The review queue: frames without a label, each handed out to one person at a time.

The queue holds flagged frames, borderline frames, a random sample of all passed frames, and the frames that a station
asks about because an answer teaches it the most.

`verdicts.record` adds frames, a review removes them, and retracting the review adds them again. A frame that is handed
out is claimed for a while, so that it is not on two screens at the same time: neither on those of two people, nor in
two browsers of one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple, TypeVarTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, delete, func, or_, select, update
from sqlalchemy.orm import Session

from storage.database.rows import columns_of, insert_new
from storage.database.tables import ReviewedFrameRow, ReviewQueueRow, VerdictRow
from storage.database.truncate import truncate
from storage.line.decision import Decision, is_borderline

Ts = TypeVarTuple("Ts")
QueueOrder = Literal["newest", "most_uncertain"]

BORDERLINE_MARGIN = 0.1
"""A passed frame without a review limit, of a former version, is queued when its score is nearer to the threshold than
this share of the threshold."""
CLAIM_DURATION = timedelta(minutes=5)
ASKED_FROM = 30
"""Frames from which a station asks: with fewer there is little to choose the highest from."""

MAX_CLAIMANT = 64  # characters that the column stores


class QueueableVerdict(NamedTuple):
    """The fields of a verdict that the queue needs."""

    frame_id: UUID
    station_id: int
    captured_at: datetime
    decision: Decision
    score: float | None
    threshold: float | None
    sampled: bool
    review_limit: float | None = None


@dataclass(frozen=True, slots=True)
class QueueFilter:
    """Which frames to hand out: those of one station or, with None, of all.

    Passed frames are included when their margin is at most `borderline`, a share of the threshold up to 0.1; at 0.1
    the sampled frames are included too. With `only_sampled` these are the only ones. With `only_questions` only the
    frames that stations ask about are included, in the order in which they are asked.
    """

    station_id: int | None = None
    order: QueueOrder = "newest"
    borderline: float = BORDERLINE_MARGIN
    only_sampled: bool = False
    only_questions: bool = False


@dataclass(frozen=True, slots=True)
class QueuedFrame:
    """A frame in the queue; `margin` is the distance of its score from the threshold, see `relative_margin`.

    `question` is its rank, from 1, among the frames that its station asks about; None for any other frame.
    """

    frame_id: UUID
    station_id: int
    captured_at: datetime
    decision: str
    margin: float
    claimed_by: str | None
    claimed_until: datetime | None
    sampled: bool
    question: int | None


def relative_margin(score: float, threshold: float) -> float:
    """Return the distance between score and threshold as a share of the threshold; absolute where that is 0."""
    return abs(score - threshold) / (abs(threshold) or 1.0)


def claimant(reviewer: str, browser: str = "") -> str:
    """Return who claims frames: a person in one of their browsers, or by commands, which have none."""
    if not browser:
        return truncate(reviewer, MAX_CLAIMANT)
    return f"{truncate(reviewer, MAX_CLAIMANT - len(browser) - 1)}@{browser}"


def enqueue(session: Session, frames: Sequence[QueueableVerdict]) -> None:
    """Add the frames that are flagged, borderline or sampled, in the transaction that writes their verdicts."""
    insert_new(session, ReviewQueueRow, [row for frame in frames if (row := _row(frame)) is not None], "frame_id")


def requeue(session: Session, frame: QueueableVerdict, claimed_by: str, claimed_until: datetime) -> None:
    """Add a frame again, claimed where its label was retracted, so that it is handed out there first."""
    row = _row(frame)
    if row is not None:
        row |= {"claimed_by": truncate(claimed_by, MAX_CLAIMANT), "claimed_until": claimed_until}
        insert_new(session, ReviewQueueRow, [row], "frame_id")


def ask(session: Session, station_id: int, frame_ids: Sequence[UUID]) -> None:
    """Make these the frames that a station asks about, in their order, in place of those that it asked about before.

    Frames that have a label by now are left out. A frame that is not asked about any more stays in the queue.
    """
    locked = select(*_VERDICT_COLUMNS).where(VerdictRow.frame_id.in_(frame_ids)).order_by(VerdictRow.frame_id)
    found = {row.frame_id: QueueableVerdict(*row) for row in session.execute(locked.with_for_update())}
    labelled = set(session.scalars(select(ReviewedFrameRow.frame_id).where(ReviewedFrameRow.frame_id.in_(list(found)))))
    session.execute(
        update(ReviewQueueRow)
        .where(ReviewQueueRow.station_id == station_id, ReviewQueueRow.question.is_not(None))
        .values(question=None)
    )
    asked = [found[frame_id] for frame_id in frame_ids if frame_id in found and frame_id not in labelled]
    insert_new(session, ReviewQueueRow, [_columns(frame) for frame in asked], "frame_id")
    for rank, frame in enumerate(asked, start=1):
        session.execute(update(ReviewQueueRow).where(ReviewQueueRow.frame_id == frame.frame_id).values(question=rank))


def asked(session: Session, station_id: int) -> list[UUID]:
    """Return the frames that a station asks about, in the order in which it asks."""
    of_station = ReviewQueueRow.station_id == station_id
    query = select(ReviewQueueRow.frame_id).where(of_station, ReviewQueueRow.question.is_not(None))
    return list(session.scalars(query.order_by(ReviewQueueRow.question)))


def questions(session: Session) -> dict[int, int]:
    """Return by station id how many frames the station asks about; stations that ask about none are left out."""
    counted = (
        select(ReviewQueueRow.station_id, func.count())
        .where(ReviewQueueRow.question.is_not(None))
        .group_by(ReviewQueueRow.station_id)
    )
    return {row[0]: row[1] for row in session.execute(counted)}


def remove(session: Session, frame_ids: Sequence[UUID]) -> None:
    """Remove frames that have a label."""
    session.execute(delete(ReviewQueueRow).where(ReviewQueueRow.frame_id.in_(list(frame_ids))))


def claim(
    session: Session,
    reviewer: str,
    filters: QueueFilter,
    at: datetime,
    *,
    limit: int = 1,
    skip: Sequence[UUID] = (),
    duration: timedelta = CLAIM_DURATION,
) -> list[QueuedFrame]:
    """Claim at most `limit` frames until `at` + `duration` and return them, in the order that `filters` names.

    `reviewer` is a `claimant`. Frames that they have claimed already come first, so that a reloaded page shows the same
    ones. Frames in `skip` are left out. Two calls at the same time return different frames, on both databases.
    """
    free = or_(ReviewQueueRow.claimed_until.is_(None), ReviewQueueRow.claimed_until <= at)
    own_claim = and_(ReviewQueueRow.claimed_by == reviewer, ReviewQueueRow.claimed_until > at)
    chosen: list[UUID] = []
    for claimable in (own_claim, free):
        query = _ordered(_filtered(select(ReviewQueueRow.frame_id), filters), filters).where(claimable)
        if skip:
            query = query.where(ReviewQueueRow.frame_id.not_in(skip))
        missing = limit - len(chosen)
        if missing > 0:
            chosen += session.scalars(query.limit(missing).with_for_update(skip_locked=True)).all()
    session.execute(
        update(ReviewQueueRow)
        .where(ReviewQueueRow.frame_id.in_(chosen))
        .values(claimed_by=truncate(reviewer, MAX_CLAIMANT), claimed_until=at + duration)
    )
    rows = session.execute(select(*_COLUMNS).where(ReviewQueueRow.frame_id.in_(chosen)))
    found = {row.frame_id: QueuedFrame(*row) for row in rows}
    return [found[frame_id] for frame_id in chosen]


def renew(
    session: Session, reviewer: str, frame_ids: Sequence[UUID], at: datetime, duration: timedelta = CLAIM_DURATION
) -> set[UUID]:
    """Extend the reviewer's claims to `at` + `duration`; return the frames that are still claimed by them.

    A frame is missing from the result when its claim expired and was lost, or when it has a label by now.
    """
    return set(
        session.scalars(
            update(ReviewQueueRow)
            .where(
                ReviewQueueRow.frame_id.in_(list(frame_ids)),
                ReviewQueueRow.claimed_by == reviewer,
                ReviewQueueRow.claimed_until > at,
            )
            .values(claimed_until=at + duration)
            .returning(ReviewQueueRow.frame_id)
        )
    )


def release(session: Session, reviewer: str, frame_ids: Sequence[UUID] | None = None) -> None:
    """Give up the reviewer's claims on these frames, or on all of them when none are named."""
    change = update(ReviewQueueRow).where(ReviewQueueRow.claimed_by == reviewer)
    if frame_ids is not None:
        change = change.where(ReviewQueueRow.frame_id.in_(list(frame_ids)))
    session.execute(change.values(claimed_by=None, claimed_until=None))


def list_queued(session: Session, filters: QueueFilter, *, limit: int = 100, offset: int = 0) -> list[QueuedFrame]:
    """Return queued frames, claimed or not, in the order that `filters` names, without claiming them."""
    query = _ordered(_filtered(select(*_COLUMNS), filters), filters).limit(limit).offset(offset)
    return [QueuedFrame(*row) for row in session.execute(query)]


def count(session: Session, filters: QueueFilter) -> int:
    """Return the number of queued frames, claimed or not."""
    return session.scalar(_filtered(select(func.count()).select_from(ReviewQueueRow), filters)) or 0


_COLUMNS = columns_of(ReviewQueueRow, QueuedFrame)
_VERDICT_COLUMNS = tuple(getattr(VerdictRow, name) for name in QueueableVerdict._fields)


def _filtered(query: Select[*Ts], filters: QueueFilter) -> Select[*Ts]:
    if filters.station_id is not None:
        query = query.where(ReviewQueueRow.station_id == filters.station_id)
    if filters.only_questions:
        query = query.where(ReviewQueueRow.question.is_not(None))
    elif filters.only_sampled:
        query = query.where(ReviewQueueRow.sampled)
    elif filters.borderline < BORDERLINE_MARGIN:
        query = query.where(or_(ReviewQueueRow.decision == "flag", ReviewQueueRow.margin <= filters.borderline))
    return query


def _ordered(query: Select[*Ts], filters: QueueFilter) -> Select[*Ts]:
    order: tuple[ColumnElement[Any], ...]
    if filters.only_questions:
        order = (ReviewQueueRow.question.asc(), ReviewQueueRow.frame_id.asc())
    elif filters.order == "newest":
        order = (ReviewQueueRow.captured_at.desc(), ReviewQueueRow.frame_id.desc())
    else:
        order = (ReviewQueueRow.margin.asc(), ReviewQueueRow.frame_id.asc())
    return query.order_by(*order)


def _row(frame: QueueableVerdict) -> dict[str, Any] | None:
    """Return the frame's row; None for a frame that is not queued."""
    if frame.score is None or frame.threshold is None:
        return None
    if frame.review_limit is None:
        is_near = relative_margin(frame.score, frame.threshold) <= BORDERLINE_MARGIN
    else:
        is_near = is_borderline(frame.decision, frame.score, frame.review_limit)
    return _columns(frame) if frame.decision == "flag" or is_near or frame.sampled else None


def _columns(frame: QueueableVerdict) -> dict[str, Any]:
    """Return the row of a frame that has a score."""
    assert frame.score is not None
    assert frame.threshold is not None
    return {
        "frame_id": frame.frame_id,
        "station_id": frame.station_id,
        "captured_at": frame.captured_at,
        "decision": frame.decision,
        "margin": relative_margin(frame.score, frame.threshold),
        "sampled": frame.sampled,
    }
