"""Actions on reviews: claiming queued frames, labelling them, and undoing a label."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from storage.actions.audited import audited
from storage.auth import audit_log
from storage.auth.actors import Actor, Role
from storage.auth.permission import authorize
from storage.errors import InvalidChange, PermissionDenied
from storage.line import stations
from storage.review import labels, review_queue, reviews
from storage.review.labels import LabelledFrame
from storage.review.review_queue import QueuedFrame, QueueFilter, claimant
from storage.review.reviews import LabelSubmission, Review, SubmissionResult


def claim(
    session: Session,
    actor: Actor,
    filters: QueueFilter,
    at: datetime,
    *,
    limit: int = 1,
    skip: Sequence[UUID] = (),
    browser: str = "",
) -> list[QueuedFrame]:
    """Return the next frames to review, at most `limit`, claimed for `review_queue.CLAIM_DURATION`.

    The claim is the actor's in this browser; the other browsers of the same person get other frames.
    """
    reviewer = authorize(session, actor, "review.claim")
    return review_queue.claim(session, claimant(reviewer.name, browser), filters, at, limit=limit, skip=skip)


def renew(session: Session, actor: Actor, frame_ids: Sequence[UUID], at: datetime, *, browser: str = "") -> set[UUID]:
    """Extend the actor's claims in this browser on these frames; return the frames that are still claimed so."""
    reviewer = authorize(session, actor, "review.claim")
    return review_queue.renew(session, claimant(reviewer.name, browser), frame_ids, at)


def release(session: Session, actor: Actor, frame_ids: Sequence[UUID] | None = None, *, browser: str = "") -> None:
    """Give up the actor's claims in this browser on these frames, or on all of them when none are named."""
    reviewer = authorize(session, actor, "review.claim")
    review_queue.release(session, claimant(reviewer.name, browser), frame_ids)


def label(
    session: Session, actor: Actor, submissions: Sequence[LabelSubmission], at: datetime
) -> list[SubmissionResult]:
    """Record the labels, all or none, each with its own audit entry; raises as `reviews.submit_all`.

    A submission that was recorded before is returned as it was, without another entry.
    """
    reviewer = authorize(session, actor, "review.label")
    before = labels.current(session, [submission.frame_id for submission in submissions])
    results = reviews.submit_all(session, submissions, reviewer.name, at)
    for review in (result.review for result in results if result.is_new):
        audit_log.record(
            session,
            reviewer,
            "review.label",
            at,
            station=stations.name_of(session, review.station_id),
            subject=f"frame {review.frame_id}",
            before=_label(before.get(review.frame_id)),
            after={"decision": review.decision, "label": review.label, "tags": review.tags},
            reason=review.note,
        )
    return results


def undo(
    session: Session,
    actor: Actor,
    idempotency_key: UUID,
    at: datetime,
    review_id: int | None = None,
    *,
    browser: str = "",
) -> SubmissionResult:
    """Retract this review, or the actor's newest one; only an engineer retracts somebody else's.

    The frame returns to the queue, to the actor in this browser first.

    Raises `InvalidChange` when there is nothing to retract, and as `reviews.retract`.
    """
    with audited(session, actor, "review.undo", at) as change:
        reviewer = change.actor
        if review_id is None:
            review = reviews.find_latest_by(session, reviewer.name)
        else:
            review = reviews.get(session, review_id)
        if review is None:
            raise InvalidChange(f"{reviewer.name} has no label that could be retracted.")
        if review.by != reviewer.name and reviewer.role.rank < Role.ENGINEER.rank:
            raise PermissionDenied(f"This label is by {review.by}: only they or an engineer can retract it.")
        result = reviews.retract(
            session, idempotency_key, review.id, reviewer.name, at, claimant(reviewer.name, browser)
        )
        if result.is_new:
            change.subject = f"frame {review.frame_id}"
            change.station = stations.name_of(session, review.station_id)
            change.before = _label(review)
            change.after = _label(labels.current(session, [review.frame_id]).get(review.frame_id))
    return result


def _label(labelled: Review | LabelledFrame | None) -> dict[str, Any] | None:
    return None if labelled is None else {"label": labelled.label, "tags": labelled.tags}
