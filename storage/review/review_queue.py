"""The review queue: frames that nobody has spoken of yet, handed out one person a frame.

Flagged ones wait there, borderline ones, and of all that passed a random sample, whatever they look like.

`verdicts.record` puts frames in, a review takes them out, taking the review back puts them in again. A frame that is
handed out is claimed for a while, so that no two people look at it at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple, TypeVarTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, delete, func, or_, select, update
from sqlalchemy.orm import Session

from storage.database.rows import columns_of, insert_new
from storage.database.tables import ReviewQueueRow
from storage.database.truncate import truncate

Ts = TypeVarTuple("Ts")
QueueOrder = Literal["newest", "most_uncertain"]

BORDERLINE_MARGIN = 0.1  # a passed frame waits for a word when its score lies within this share of the threshold
CLAIM_DURATION = timedelta(minutes=5)


class QueueableVerdict(NamedTuple):
    """Of a verdict, what the queue needs."""

    frame_id: UUID
    station_id: int
    captured_at: datetime
    decision: str
    score: float | None
    threshold: float | None
    sampled: bool


@dataclass(frozen=True, slots=True)
class QueueFilter:
    """Which frames to hand out: one station's or any; passed ones only within `borderline`, a share up to 0.1.

    At 0.1 the sampled ones come, too; `only_sampled` are these alone.
    """

    station_id: int | None = None
    order: QueueOrder = "newest"
    borderline: float = BORDERLINE_MARGIN
    only_sampled: bool = False


@dataclass(frozen=True, slots=True)
class QueuedFrame:
    """A frame in the queue; `margin` is how far its score lies from the threshold, as a share of the threshold."""

    frame_id: UUID
    station_id: int
    captured_at: datetime
    decision: str
    margin: float
    claimed_by: str | None
    claimed_until: datetime | None
    sampled: bool


def relative_margin(score: float, threshold: float) -> float:
    """The distance of score and threshold as a share of the threshold, or as it is where that is 0."""
    return abs(score - threshold) / (abs(threshold) or 1.0)


def enqueue(session: Session, frames: Sequence[QueueableVerdict]) -> None:
    """Put in those that want a person's word, in the transaction that writes their verdicts."""
    insert_new(session, ReviewQueueRow, [row for frame in frames if (row := _row(frame)) is not None], "frame_id")


def requeue(session: Session, frame: QueueableVerdict, claimed_by: str, claimed_until: datetime) -> None:
    """Let it wait again, claimed by who took a word back, so that it comes to them first."""
    row = _row(frame)
    if row is not None:
        row |= {"claimed_by": truncate(claimed_by, 64), "claimed_until": claimed_until}
        insert_new(session, ReviewQueueRow, [row], "frame_id")


def remove(session: Session, frame_ids: Sequence[UUID]) -> None:
    """Forget frames that somebody has spoken of."""
    session.execute(delete(ReviewQueueRow).where(ReviewQueueRow.frame_id.in_(list(frame_ids))))


def claim(
    session: Session,
    who: str,
    wanted: QueueFilter,
    at: datetime,
    *,
    how_many: int = 1,
    skip: Sequence[UUID] = (),
    lasts: timedelta = CLAIM_DURATION,
) -> list[QueuedFrame]:
    """Hand out frames: first those that `who` holds already, so that a reload shows the same, then unclaimed ones.

    Each is claimed until `at` + `lasts`. `who` is the person's name; frames of `skip` are left out. Needs a
    transaction that may write; two at once get different frames on both databases.
    """
    free = or_(ReviewQueueRow.claimed_until.is_(None), ReviewQueueRow.claimed_until <= at)
    mine = [ReviewQueueRow.claimed_by == who, ReviewQueueRow.claimed_until > at]
    chosen: list[UUID] = []
    for whose in (mine, [free]):
        query = _ordered(_which(select(ReviewQueueRow.frame_id), wanted), wanted).where(*whose)
        if skip:
            query = query.where(ReviewQueueRow.frame_id.not_in(skip))
        missing = how_many - len(chosen)
        if missing > 0:
            chosen += session.scalars(query.limit(missing).with_for_update(skip_locked=True)).all()
    session.execute(
        update(ReviewQueueRow)
        .where(ReviewQueueRow.frame_id.in_(chosen))
        .values(claimed_by=truncate(who, 64), claimed_until=at + lasts)
    )
    rows = session.execute(select(*_COLUMNS).where(ReviewQueueRow.frame_id.in_(chosen)))
    found = {row.frame_id: QueuedFrame(*row) for row in rows}
    return [found[frame_id] for frame_id in chosen]


def renew(
    session: Session, who: str, frame_ids: Sequence[UUID], at: datetime, lasts: timedelta = CLAIM_DURATION
) -> set[UUID]:
    """Hold claims for longer; return those that `who` still holds, for the others were lost or have got their word."""
    return set(
        session.scalars(
            update(ReviewQueueRow)
            .where(
                ReviewQueueRow.frame_id.in_(list(frame_ids)),
                ReviewQueueRow.claimed_by == who,
                ReviewQueueRow.claimed_until > at,
            )
            .values(claimed_until=at + lasts)
            .returning(ReviewQueueRow.frame_id)
        )
    )


def release(session: Session, who: str, frame_ids: Sequence[UUID] | None = None) -> None:
    """Give claims back, all of `who` unless frames are named."""
    change = update(ReviewQueueRow).where(ReviewQueueRow.claimed_by == who)
    if frame_ids is not None:
        change = change.where(ReviewQueueRow.frame_id.in_(list(frame_ids)))
    session.execute(change.values(claimed_by=None, claimed_until=None))


def list_queued(session: Session, wanted: QueueFilter, *, limit: int = 100, offset: int = 0) -> list[QueuedFrame]:
    """What lies in the queue, claimed or not, to look at without claiming."""
    query = _ordered(_which(select(*_COLUMNS), wanted), wanted).limit(limit).offset(offset)
    return [QueuedFrame(*row) for row in session.execute(query)]


def count(session: Session, wanted: QueueFilter) -> int:
    """How many wait."""
    return session.scalar(_which(select(func.count()).select_from(ReviewQueueRow), wanted)) or 0


_COLUMNS = columns_of(ReviewQueueRow, QueuedFrame)


def _which(query: Select[*Ts], wanted: QueueFilter) -> Select[*Ts]:
    if wanted.station_id is not None:
        query = query.where(ReviewQueueRow.station_id == wanted.station_id)
    if wanted.only_sampled:
        query = query.where(ReviewQueueRow.sampled)
    elif wanted.borderline < BORDERLINE_MARGIN:
        query = query.where(or_(ReviewQueueRow.decision == "flag", ReviewQueueRow.margin <= wanted.borderline))
    return query


def _ordered(query: Select[*Ts], wanted: QueueFilter) -> Select[*Ts]:
    by: tuple[ColumnElement[Any], ...]
    if wanted.order == "newest":
        by = (ReviewQueueRow.captured_at.desc(), ReviewQueueRow.frame_id.desc())
    else:
        by = (ReviewQueueRow.margin.asc(), ReviewQueueRow.frame_id.asc())
    return query.order_by(*by)


def _row(frame: QueueableVerdict) -> dict[str, Any] | None:
    if frame.score is None or frame.threshold is None:
        return None
    away = relative_margin(frame.score, frame.threshold)
    if frame.decision != "flag" and away > BORDERLINE_MARGIN and not frame.sampled:
        return None
    return {
        "frame_id": frame.frame_id,
        "station_id": frame.station_id,
        "captured_at": frame.captured_at,
        "decision": frame.decision,
        "margin": away,
        "sampled": frame.sampled,
    }
