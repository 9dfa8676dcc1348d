"""What people say of verdicts."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from storage.auth import audit_log
from storage.auth.actors import Actor, Role
from storage.auth.permission import authorize
from storage.errors import InvalidChange, PermissionDenied
from storage.line import stations
from storage.review import labels, review_queue, reviews
from storage.review.review_queue import QueuedFrame, QueueFilter
from storage.review.reviews import LabelSubmission, Review, SubmissionResult


def claim(
    session: Session, actor: Actor, wanted: QueueFilter, at: datetime, *, how_many: int = 1, skip: Sequence[UUID] = ()
) -> list[QueuedFrame]:
    """The next frames to look at, held for this person for a while; raises `PermissionDenied`."""
    who = authorize(session, actor, "review.claim")
    return review_queue.claim(session, who.name, wanted, at, how_many=how_many, skip=skip)


def renew(session: Session, actor: Actor, frame_ids: Sequence[UUID], at: datetime) -> set[UUID]:
    """Hold frames for longer while somebody looks at them; return those still held. Raises `PermissionDenied`."""
    return review_queue.renew(session, authorize(session, actor, "review.claim").name, frame_ids, at)


def release(session: Session, actor: Actor, frame_ids: Sequence[UUID] | None = None) -> None:
    """Let others have the frames that this person holds, all unless named; raises `PermissionDenied`."""
    review_queue.release(session, authorize(session, actor, "review.claim").name, frame_ids)


def label(session: Session, actor: Actor, sayings: Sequence[LabelSubmission], at: datetime) -> list[SubmissionResult]:
    """Keep words, all or none; what was said before is given back and is no entry. Raises as `reviews.say_all`."""
    who = authorize(session, actor, "review.label")
    before = labels.current(session, [saying.frame_id for saying in sayings])
    said = reviews.submit_all(session, sayings, who.name, at)
    for one in said:
        if one.is_new:
            old = before.get(one.review.frame_id)
            _enter(session, who, one.review, old and {"label": old.label, "tags": old.tags}, at)
    return said


def undo(
    session: Session, actor: Actor, idempotency_key: UUID, at: datetime, review_id: int | None = None
) -> SubmissionResult:
    """Take back a word, else this person's newest; only an engineer takes back another's. Raises `PermissionDenied`.

    Raises `InvalidChange` when there is nothing to take back, and as `reviews.take_back`.
    """
    who = authorize(session, actor, "review.undo")
    before = reviews.get(session, review_id) if review_id is not None else reviews.find_latest_by(session, who.name)
    if before is None:
        raise InvalidChange(f"There is no word of {who.name} that could be taken back.")
    if before.by != who.name and who.role.rank < Role.ENGINEER.rank:
        raise PermissionDenied(f"This word is {before.by}'s: only they or an engineer can take it back.")
    said = reviews.retract(session, idempotency_key, before.id, who.name, at)
    if said.is_new:
        station = stations.name_of(session, before.station_id)
        now = labels.current(session, [before.frame_id]).get(before.frame_id)
        audit_log.record(
            session,
            who,
            "review.undo",
            at,
            station=station,
            subject=f"frame {before.frame_id}",
            before={"label": before.label, "tags": before.tags},
            after=now and {"label": now.label, "tags": now.tags},
        )
    return said


def _enter(session: Session, who: Actor, review: Review, before: object, at: datetime) -> None:
    audit_log.record(
        session,
        who,
        "review.label",
        at,
        station=stations.name_of(session, review.station_id),
        subject=f"frame {review.frame_id}",
        before=before,
        after={"decision": review.decision, "label": review.label, "tags": review.tags},
        reason=review.note,
    )
