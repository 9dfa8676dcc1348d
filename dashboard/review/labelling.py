"""Labels on frames as a page submits them: idempotent, and only on frames that are as the person saw them.

The idempotency key is derived from the frame, the person and the newest review of the frame when it was shown. So a
second tab, a reload or a key pressed twice submits the same label again, and a frame that somebody labelled meanwhile
keeps that label.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

from sqlalchemy.orm import Session

from storage.actions import normal_sets as normal_set_actions
from storage.actions import reviews as review_actions
from storage.auth.actors import Actor
from storage.review import labels, reviews
from storage.review.labels import Label
from storage.review.reviews import LabelSubmission, Review, ReviewLabel

_NAMESPACE = UUID("5f0c2b1e-6a53-4c1d-9d4a-0b6f2f7c8e11")  # of this project
LABEL_NAMES: Mapping[ReviewLabel, str] = {
    "defect": "defect",
    "false_alarm": "false reject",
    "unsure": "unsure",
    "retracted": "retracted",
}


@dataclass(frozen=True, slots=True)
class ShownFrame:
    """A frame as a person saw it; `last_review_id` is the newest review of it then, 0 without one."""

    frame_id: UUID
    last_review_id: int


@dataclass(frozen=True, slots=True)
class LabelResult:
    """The labels that were stored, and the newest reviews of the frames that somebody had labelled meanwhile."""

    stored: tuple[Review, ...]
    conflicts: tuple[Review, ...]

    @property
    def refusal(self) -> str:
        """Why some frames were not labelled; empty where all were."""
        if not self.conflicts:
            return ""
        first = self.conflicts[0]
        if len(self.conflicts) == 1:
            return f"{first.by} has already labelled this frame: {LABEL_NAMES[first.label]}. That label stays."
        return (
            f"{len(self.conflicts)} of these frames were already labelled, the first by {first.by}. Those labels stay."
        )


def idempotency_key(frame: ShownFrame, actor: str) -> UUID:
    """Return the key of a person's label on a frame as shown; the same in every tab."""
    return uuid5(_NAMESPACE, f"{frame.frame_id} {frame.last_review_id} {actor}")


def undo_key(review_id: int) -> UUID:
    """Return the key of undoing a review; the same each time."""
    return uuid5(_NAMESPACE, f"take back {review_id}")


def shown_frames(session: Session, frame_ids: Sequence[UUID]) -> list[ShownFrame]:
    """Return the frames with the newest review of each at this moment."""
    return [
        ShownFrame(frame_id, newest.id if newest else 0)
        for frame_id, newest in _newest_reviews(session, frame_ids).items()
    ]


def label_frames(
    session: Session,
    actor: Actor,
    frames: Sequence[ShownFrame],
    label: Label,
    at: datetime,
    *,
    tags: Sequence[str] = (),
    note: str = "",
    propose_as_normal: bool = False,
) -> LabelResult:
    """Label the frames that nobody has labelled since they were shown.

    Args:
        session: A transaction.
        actor: Who labels.
        frames: The frames as shown.
        label: The label, the same for all.
        at: The time of the label.
        tags: Defect types.
        note: A free text.
        propose_as_normal: Whether to also propose the frames for the next normal set.

    Raises:
        PermissionDenied: The actor may not label.
        NotFound: A frame has no verdict any more.
        InvalidChange: The label is not valid.
    """
    newest = _newest_reviews(session, [frame.frame_id for frame in frames])
    conflicts: list[Review] = []
    unchanged: list[ShownFrame] = []
    for frame in frames:
        last, key = newest[frame.frame_id], idempotency_key(frame, actor.name)
        is_repeated = last is not None and (last.idempotency_key, last.label) == (key, label)
        if last is not None and last.id != frame.last_review_id and not is_repeated:
            conflicts.append(last)
        else:
            unchanged.append(frame)
    submissions = [
        LabelSubmission(idempotency_key(frame, actor.name), frame.frame_id, label, tuple(tags), note)
        for frame in unchanged
    ]
    results = review_actions.label(session, actor, submissions, at) if submissions else []
    if propose_as_normal:
        for frame in unchanged:
            normal_set_actions.propose(session, actor, frame.frame_id, at)
    return LabelResult(tuple(result.review for result in results), tuple(conflicts))


def undo_labels(session: Session, actor: Actor, review_ids: Sequence[int], at: datetime, *, browser: str = "") -> int:
    """Undo reviews, newest first, and return how many were not undone before; `browser` shows their frames first.

    Raises:
        PermissionDenied: The actor may not undo one of them.
        InvalidChange: One of them is not the newest review of its frame.
    """
    return sum(
        review_actions.undo(session, actor, undo_key(review_id), at, review_id, browser=browser).is_new
        for review_id in sorted(review_ids, reverse=True)
    )


def last_submission(session: Session, actor: str, limit: int) -> list[Review]:
    """Return the reviews that undo retracts: a person's newest current label, with the others of the same press."""
    last = reviews.find_latest_by(session, actor)
    if last is None:
        return []
    together = [review for review in reviews.recent(session, by=actor, limit=2 * limit) if review.at == last.at]
    current = labels.current(session, [review.frame_id for review in together])
    current_ids = {labelled.review_id for labelled in current.values()}
    return [review for review in together if review.id in current_ids] or [last]


def _newest_reviews(session: Session, frame_ids: Sequence[UUID]) -> dict[UUID, Review | None]:
    return {frame_id: next(iter(reviews.history(session, frame_id)), None) for frame_id in frame_ids}
