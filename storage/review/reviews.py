"""Reviews: a person's word on a verdict. Every word is kept; the newest that was not taken back counts.

Which word counts of each frame, and how many there are, is asked of `storage.review.labels`; what waits for a word, of
`storage.review.review_queue`. A flagged frame that is called a defect was caught, one called a false alarm is a false
reject;
a passed frame called a defect was missed (an escape), one called a false alarm is confirmed as good.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import and_, delete, insert, select
from sqlalchemy.orm import Session

from storage.database.rows import columns_of, insert_into
from storage.database.tables import ReviewedFrameRow, ReviewRow, VerdictRow
from storage.database.truncate import truncate
from storage.errors import InvalidChange, NotFound
from storage.review import labels, review_queue
from storage.review.labels import LABELS, Label
from storage.review.review_queue import CLAIM_DURATION, QueueableVerdict

ReviewLabel = Literal["defect", "false_alarm", "unsure", "retracted"]

MAX_TAGS = 16


@dataclass(frozen=True, slots=True)
class LabelSubmission:
    """What a person says of a frame. `idempotency_key` is made once where it is said: said again, it counts once."""

    idempotency_key: UUID
    frame_id: UUID
    label: Label
    tags: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Review:
    """One kept word; `retracts_id` is the id of the review that a word ``retracted`` takes back."""

    id: int
    idempotency_key: UUID
    frame_id: UUID
    station_id: int
    captured_at: datetime
    decision: str
    label: ReviewLabel
    retracts_id: int | None
    tags: tuple[str, ...]
    note: str
    by: str
    at: datetime

    @property
    def is_escape(self) -> bool:
        """A defect that was missed."""
        return self.decision == "pass" and self.label == "defect"


@dataclass(frozen=True, slots=True)
class SubmissionResult:
    """What became of a saying: `is_new` is False when it had been said before and nothing was written."""

    review: Review
    is_new: bool


def submit(session: Session, saying: LabelSubmission, by: str, at: datetime) -> SubmissionResult:
    """Keep one word; raises `InvalidChange` for an unknown word or a `idempotency_key` used for something else,
    `NotFound`."""
    return submit_all(session, [saying], by, at)[0]


def submit_all(session: Session, sayings: Sequence[LabelSubmission], by: str, at: datetime) -> list[SubmissionResult]:
    """Keep several words, all or none, in order; a saying that was kept before is given back as it was kept."""
    for saying in sayings:
        _require_sound(saying)
    decided = _held(session, [saying.frame_id for saying in sayings])
    said = [_keep(session, saying, decided[saying.frame_id], by, at) for saying in sayings]
    review_queue.remove(session, [one.review.frame_id for one in said if one.is_new])
    return said


def retract(session: Session, idempotency_key: UUID, review_id: int, by: str, at: datetime) -> SubmissionResult:
    """Undo: the word before it counts again, or the frame waits in the queue again, claimed by `by`.

    Only the word that counts can be taken back; done twice it counts once. Raises `NotFound`, `InvalidChange`.
    """
    review = get(session, review_id)
    verdict = _held(session, [review.frame_id])[review.frame_id]
    row = _row_of(review) | {
        "idempotency_key": idempotency_key,
        "label": "retracted",
        "retracts_id": review_id,
        "tags": [],
        "note": "",
    }
    already = _kept(session, ReviewRow.retracts_id == review_id)
    if already is not None:
        return SubmissionResult(already, is_new=False)
    counting = session.scalar(select(ReviewedFrameRow.review_id).where(ReviewedFrameRow.frame_id == review.frame_id))
    if counting != review_id:
        raise InvalidChange("Only the newest word on a frame can be taken back.")
    kept = _insert(session, row | {"by": truncate(by, 64), "at": at})
    if kept is None:
        return SubmissionResult(
            _require_kept(session, ReviewRow.retracts_id == review_id, review.frame_id), is_new=False
        )
    _count_the_newest(session, verdict)
    if not labels.current(session, [review.frame_id]):
        review_queue.requeue(session, verdict, by, at + CLAIM_DURATION)
    return SubmissionResult(kept, is_new=True)


def get(session: Session, review_id: int) -> Review:
    """Raises `NotFound`."""
    found = _kept(session, ReviewRow.id == review_id)
    if found is None:
        raise NotFound(f"There is no review {review_id}: `andon review list` shows those there are.")
    return found


def history(session: Session, frame_id: UUID) -> list[Review]:
    """Everything that was said of a frame, newest first."""
    query = select(*_COLUMNS).where(ReviewRow.frame_id == frame_id).order_by(ReviewRow.id.desc())
    return [_review(row) for row in session.execute(query)]


def find_latest_by(session: Session, by: str) -> Review | None:
    """The newest word of this person that is not taken back and counts: what undo takes back."""
    query = (
        select(*_COLUMNS)
        .join(
            ReviewedFrameRow,
            and_(ReviewedFrameRow.frame_id == ReviewRow.frame_id, ReviewedFrameRow.review_id == ReviewRow.id),
        )
        .where(ReviewRow.by == by)
        .order_by(ReviewRow.id.desc())
        .limit(1)
    )
    row = session.execute(query).first()
    return None if row is None else _review(row)


def recent(
    session: Session,
    station_id: int | None = None,
    *,
    by: str | None = None,
    before_id: int | None = None,
    limit: int = 100,
) -> list[Review]:
    """Every word said, newest first; the next page begins before the last id of this one."""
    query = select(*_COLUMNS).order_by(ReviewRow.id.desc()).limit(limit)
    if station_id is not None:
        query = query.where(ReviewRow.station_id == station_id)
    if by is not None:
        query = query.where(ReviewRow.by == by)
    if before_id is not None:
        query = query.where(ReviewRow.id < before_id)
    return [_review(row) for row in session.execute(query)]


_COLUMNS = columns_of(ReviewRow, Review)


def _held(session: Session, frame_ids: Sequence[UUID]) -> dict[UUID, QueueableVerdict]:
    """What was decided of the frames, each held until the transaction ends: two who speak of one come one by one."""
    query = select(*_DECIDED).where(VerdictRow.frame_id.in_(frame_ids)).order_by(VerdictRow.frame_id)
    rows = session.execute(query.with_for_update())
    found = {row.frame_id: QueueableVerdict(*row) for row in rows}
    missing = [frame_id for frame_id in frame_ids if frame_id not in found]
    if missing:
        raise NotFound(f"There is no verdict on frame {missing[0]}.")
    return found


_DECIDED = tuple(getattr(VerdictRow, name) for name in QueueableVerdict._fields)


def _keep(
    session: Session, saying: LabelSubmission, decided: QueueableVerdict, by: str, at: datetime
) -> SubmissionResult:
    row = {
        "idempotency_key": saying.idempotency_key,
        "frame_id": saying.frame_id,
        "station_id": decided.station_id,
        "captured_at": decided.captured_at,
        "decision": decided.decision,
        "label": saying.label,
        "retracts_id": None,
        "tags": list(dict.fromkeys(truncate(tag.strip(), 64) for tag in saying.tags)),
        "note": truncate(saying.note, 1000),
        "by": truncate(by, 64),
        "at": at,
    }
    kept = _insert(session, row)
    if kept is not None:
        _count_the_newest(session, decided)
        return SubmissionResult(kept, is_new=True)
    before = _require_kept(session, ReviewRow.idempotency_key == saying.idempotency_key, saying.frame_id)
    if (before.frame_id, before.label) != (saying.frame_id, saying.label):
        raise InvalidChange(
            f"The saying {saying.idempotency_key} was used for another word already: make a new id for each."
        )
    return SubmissionResult(before, is_new=False)


def _insert(session: Session, row: dict[str, Any]) -> Review | None:
    """The kept row, None where it was said (or taken back) before, in this moment by another process, too."""
    statement = insert_into(session, ReviewRow).values(**row).on_conflict_do_nothing().returning(*_COLUMNS)
    made = session.execute(statement).first()
    return None if made is None else _review(made)


def _count_the_newest(session: Session, decided: QueueableVerdict) -> None:
    """Make the newest word that was not taken back the one that counts."""
    frame_id = decided.frame_id
    session.execute(delete(ReviewedFrameRow).where(ReviewedFrameRow.frame_id == frame_id))
    back = select(ReviewRow.retracts_id).where(ReviewRow.frame_id == frame_id, ReviewRow.retracts_id.is_not(None))
    query = (
        select(*_COLUMNS)
        .where(ReviewRow.frame_id == frame_id, ReviewRow.label != "retracted", ReviewRow.id.not_in(back))
        .order_by(ReviewRow.id.desc())
        .limit(1)
    )
    row = session.execute(query).first()
    if row is not None:
        review = _review(row)
        counting = _row_of(review) | {"review_id": review.id, "sampled": decided.sampled}
        session.execute(insert(ReviewedFrameRow).values(**counting))


def _row_of(review: Review) -> dict[str, Any]:
    return {
        "frame_id": review.frame_id,
        "station_id": review.station_id,
        "captured_at": review.captured_at,
        "decision": review.decision,
        "label": review.label,
        "tags": list(review.tags),
    }


def _kept(session: Session, where: Any) -> Review | None:
    row = session.execute(select(*_COLUMNS).where(where)).first()
    return None if row is None else _review(row)


def _require_kept(session: Session, where: Any, frame_id: UUID) -> Review:
    found = _kept(session, where)
    if found is None:
        raise InvalidChange(f"Somebody speaks of frame {frame_id} at this moment: look at it again.")
    return found


def _review(row: Any) -> Review:
    return Review(**(dict(row._mapping) | {"tags": tuple(row.tags)}))


def _require_sound(saying: LabelSubmission) -> None:
    if saying.label not in LABELS:
        raise InvalidChange(f"A review says one of {', '.join(LABELS)}.")
    if len(saying.tags) > MAX_TAGS or not all(tag.strip() for tag in saying.tags):
        raise InvalidChange(f"A review names at most {MAX_TAGS} defect types, none of them empty.")
