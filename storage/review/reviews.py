"""Reviews: a person's label on a verdict. Every label is stored; the newest that was not retracted is in force.

`storage.review.labels` has the label in force of each frame, `storage.review.review_queue` the frames without one. A
flagged frame labelled a defect is a true reject, one labelled a false alarm a false reject; a passed frame labelled a
defect is an escape, one labelled a false alarm is confirmed as good.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, func, insert, select
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
    """A label that a person gives a frame, with defect types as `tags`.

    `idempotency_key` is generated once where the label is given: a submission that arrives twice is recorded once.
    """

    idempotency_key: UUID
    frame_id: UUID
    label: Label
    tags: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Review:
    """One stored label; a retraction has the label ``retracted`` and the id of the review it retracts."""

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
        """Whether a defect passed."""
        return self.decision == "pass" and self.label == "defect"


@dataclass(frozen=True, slots=True)
class SubmissionResult:
    """The stored review; `is_new` is False when it was stored by an earlier submission and nothing was written."""

    review: Review
    is_new: bool


def submit(session: Session, submission: LabelSubmission, by: str, at: datetime) -> SubmissionResult:
    """Record one label, as `submit_all` does."""
    return submit_all(session, [submission], by, at)[0]


def submit_all(
    session: Session, submissions: Sequence[LabelSubmission], by: str, at: datetime
) -> list[SubmissionResult]:
    """Record labels in order, all or none, and remove their frames from the queue.

    A submission that was recorded before is returned as it was. Raises `NotFound` for a frame without a verdict, and
    `InvalidChange` for an unknown label or a key that was used for another frame or label.
    """
    for submission in submissions:
        _require_valid(submission)
    verdicts = _lock_verdicts(session, [submission.frame_id for submission in submissions])
    results = [_record(session, submission, verdicts[submission.frame_id], by, at) for submission in submissions]
    review_queue.remove(session, [result.review.frame_id for result in results if result.is_new])
    return results


def retract(
    session: Session, idempotency_key: UUID, review_id: int, by: str, at: datetime, claimant: str | None = None
) -> SubmissionResult:
    """Retract the label in force: the label before it is in force again, or the frame is queued again.

    Then `claimant` has claimed it, or `by` where none is named.

    Retracting a review twice records one retraction. Raises `NotFound`, and `InvalidChange` for a label that is not in
    force.
    """
    review = get(session, review_id)
    verdict = _lock_verdicts(session, [review.frame_id])[review.frame_id]
    earlier = _find(session, ReviewRow.retracts_id == review_id)
    if earlier is not None:
        return SubmissionResult(earlier, is_new=False)
    in_force = session.scalar(select(ReviewedFrameRow.review_id).where(ReviewedFrameRow.frame_id == review.frame_id))
    if in_force != review_id:
        raise InvalidChange("Only the newest label of a frame can be retracted.")
    row = _copied_fields(review) | {
        "idempotency_key": idempotency_key,
        "label": "retracted",
        "retracts_id": review_id,
        "tags": [],
        "note": "",
        "by": truncate(by, 64),
        "at": at,
    }
    retraction = _insert(session, row)
    if retraction is None:
        return SubmissionResult(_require(session, ReviewRow.retracts_id == review_id, review.frame_id), is_new=False)
    _update_label_in_force(session, verdict)
    if not labels.current(session, [review.frame_id]):
        review_queue.requeue(session, verdict, claimant or by, at + CLAIM_DURATION)
    return SubmissionResult(retraction, is_new=True)


def get(session: Session, review_id: int) -> Review:
    """Return the review; raises `NotFound`."""
    found = _find(session, ReviewRow.id == review_id)
    if found is None:
        raise NotFound(f"There is no review {review_id}: `andon review list` shows the reviews.")
    return found


def history(session: Session, frame_id: UUID) -> list[Review]:
    """Return every review of a frame, retractions included, newest first."""
    query = select(*_COLUMNS).where(ReviewRow.frame_id == frame_id).order_by(ReviewRow.id.desc())
    return [_review(row) for row in session.execute(query)]


def newest_id(session: Session) -> int:
    """Return the id of the newest review; 0 without one."""
    return session.scalar(select(func.max(ReviewRow.id))) or 0


def stations_labelled_after(session: Session, review_id: int) -> set[int]:
    """Return the ids of the stations with a review newer than this one."""
    return set(session.scalars(select(ReviewRow.station_id).where(ReviewRow.id > review_id).distinct()))


def find_latest_by(session: Session, by: str) -> Review | None:
    """Return this person's newest review whose label is in force, which is what undo retracts; None without one."""
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


def count_labelled_since(session: Session, by: str, since: datetime, limit: int = 500) -> int:
    """Count the labels that this person gave at `since` or later and did not retract, among their newest `limit`."""
    query = select(ReviewRow.label, ReviewRow.at).where(ReviewRow.by == by).order_by(ReviewRow.id.desc()).limit(limit)
    found = [label for label, at in session.execute(query) if at >= since]
    return max(0, len(found) - 2 * found.count("retracted"))


def recent(
    session: Session,
    station_id: int | None = None,
    *,
    by: str | None = None,
    before_id: int | None = None,
    limit: int = 100,
) -> list[Review]:
    """Return reviews and retractions, newest first; for the next page, `before_id` is the last id of this one."""
    query = select(*_COLUMNS).order_by(ReviewRow.id.desc()).limit(limit)
    if station_id is not None:
        query = query.where(ReviewRow.station_id == station_id)
    if by is not None:
        query = query.where(ReviewRow.by == by)
    if before_id is not None:
        query = query.where(ReviewRow.id < before_id)
    return [_review(row) for row in session.execute(query)]


_COLUMNS = columns_of(ReviewRow, Review)
_VERDICT_COLUMNS = tuple(getattr(VerdictRow, name) for name in QueueableVerdict._fields)


def _lock_verdicts(session: Session, frame_ids: Sequence[UUID]) -> dict[UUID, QueueableVerdict]:
    """Return the verdicts, locked until the transaction ends, so that two people's labels come one by one."""
    query = select(*_VERDICT_COLUMNS).where(VerdictRow.frame_id.in_(frame_ids)).order_by(VerdictRow.frame_id)
    rows = session.execute(query.with_for_update())
    found = {row.frame_id: QueueableVerdict(*row) for row in rows}
    missing = [frame_id for frame_id in frame_ids if frame_id not in found]
    if missing:
        raise NotFound(f"There is no verdict on frame {missing[0]}.")
    return found


def _record(
    session: Session, submission: LabelSubmission, verdict: QueueableVerdict, by: str, at: datetime
) -> SubmissionResult:
    row = {
        "idempotency_key": submission.idempotency_key,
        "frame_id": submission.frame_id,
        "station_id": verdict.station_id,
        "captured_at": verdict.captured_at,
        "decision": verdict.decision,
        "label": submission.label,
        "retracts_id": None,
        "tags": list(dict.fromkeys(truncate(tag.strip(), 64) for tag in submission.tags)),
        "note": truncate(submission.note, 1000),
        "by": truncate(by, 64),
        "at": at,
    }
    review = _insert(session, row)
    if review is not None:
        _update_label_in_force(session, verdict)
        return SubmissionResult(review, is_new=True)
    key = submission.idempotency_key
    earlier = _require(session, ReviewRow.idempotency_key == key, submission.frame_id)
    if (earlier.frame_id, earlier.label) != (submission.frame_id, submission.label):
        raise InvalidChange(f"The key {key} was used for another label already: generate a new key for each label.")
    return SubmissionResult(earlier, is_new=False)


def _insert(session: Session, row: dict[str, Any]) -> Review | None:
    """Return the stored review; None where one with its key exists, or another transaction inserts one now."""
    statement = insert_into(session, ReviewRow).values(**row).on_conflict_do_nothing().returning(*_COLUMNS)
    inserted = session.execute(statement).first()
    return None if inserted is None else _review(inserted)


def _update_label_in_force(session: Session, verdict: QueueableVerdict) -> None:
    """Put the newest label that was not retracted in force."""
    frame_id = verdict.frame_id
    session.execute(delete(ReviewedFrameRow).where(ReviewedFrameRow.frame_id == frame_id))
    retracted = select(ReviewRow.retracts_id).where(ReviewRow.frame_id == frame_id, ReviewRow.retracts_id.is_not(None))
    query = (
        select(*_COLUMNS)
        .where(ReviewRow.frame_id == frame_id, ReviewRow.label != "retracted", ReviewRow.id.not_in(retracted))
        .order_by(ReviewRow.id.desc())
        .limit(1)
    )
    row = session.execute(query).first()
    if row is not None:
        review = _review(row)
        in_force = _copied_fields(review) | {"review_id": review.id, "sampled": verdict.sampled}
        session.execute(insert(ReviewedFrameRow).values(**in_force))


def _copied_fields(review: Review) -> dict[str, Any]:
    """Return the fields that a retraction and the label in force have in common with the review."""
    return {
        "frame_id": review.frame_id,
        "station_id": review.station_id,
        "captured_at": review.captured_at,
        "decision": review.decision,
        "label": review.label,
        "tags": list(review.tags),
    }


def _find(session: Session, condition: ColumnElement[bool]) -> Review | None:
    row = session.execute(select(*_COLUMNS).where(condition)).first()
    return None if row is None else _review(row)


def _require(session: Session, condition: ColumnElement[bool], frame_id: UUID) -> Review:
    found = _find(session, condition)
    if found is None:
        raise InvalidChange(f"Somebody else labels frame {frame_id} at this moment: try again.")
    return found


def _review(row: Any) -> Review:
    return Review(**(dict(row._mapping) | {"tags": tuple(row.tags)}))


def _require_valid(submission: LabelSubmission) -> None:
    if submission.label not in LABELS:
        raise InvalidChange(f"A label is one of {', '.join(LABELS)}.")
    if len(submission.tags) > MAX_TAGS or not all(tag.strip() for tag in submission.tags):
        raise InvalidChange(f"A review names at most {MAX_TAGS} defect types, none of them empty.")
