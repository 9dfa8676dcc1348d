"""A word on a frame as a page says it: heard twice it counts once, and it speaks of what the person saw.

The id of a saying is made of the frame, the person, and the newest word there was when the frame was shown. So a
second tab, a reload or a key pressed twice says the same thing again, and a frame that got a word meanwhile is left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

from sqlalchemy.orm import Session

from storage.actions import normal_sets as normal_set_actions
from storage.actions import reviews as review_actions
from storage.auth.actors import Actor
from storage.review import labels, reviews
from storage.review.labels import Label
from storage.review.reviews import LabelSubmission, Review

_SPACE = UUID("5f0c2b1e-6a53-4c1d-9d4a-0b6f2f7c8e11")  # of this project alone, so that no other name meets one of ours
SPOKEN: dict[str, str] = {
    "defect": "a defect",
    "false_alarm": "a false alarm",
    "unsure": "unsure",
    "retracted": "taken back",
}


@dataclass(frozen=True, slots=True)
class ShownFrame:
    """A frame as a person sees it; `last_review_id` is the newest entry of its history then, 0 where there was none."""

    frame_id: UUID
    last_review_id: int


@dataclass(frozen=True, slots=True)
class LabelResult:
    """What was kept, and which frames were left as they are because somebody spoke of them meanwhile."""

    kept: tuple[Review, ...]
    spoken_of: tuple[Review, ...]

    @property
    def refusal(self) -> str:
        """Why not every word was kept, in a sentence; empty where all were."""
        if not self.spoken_of:
            return ""
        last = self.spoken_of[0]
        if len(self.spoken_of) == 1:
            return f"This frame has its word already: {SPOKEN[last.label]}, said by {last.by}. It stays so."
        return f"{len(self.spoken_of)} of these frames have their word already, the first by {last.by}. They stay so."


def idempotency_key(shown: ShownFrame, who: str) -> UUID:
    """The same for the same sight of a frame by the same person, in whichever tab."""
    return uuid5(_SPACE, f"{shown.frame_id} {shown.last_review_id} {who}")


def undo_id(review_id: int) -> UUID:
    """The same for each time that this word is taken back."""
    return uuid5(_SPACE, f"take back {review_id}")


def shown(session: Session, frame_ids: Sequence[UUID]) -> list[ShownFrame]:
    """The frames with the newest entry of their history, as they are now."""
    return [
        ShownFrame(frame_id, newest.id if newest else 0) for frame_id, newest in _newest(session, frame_ids).items()
    ]


def say(
    session: Session,
    who: Actor,
    seen: Sequence[ShownFrame],
    label: Label,
    at: datetime,
    *,
    tags: Sequence[str] = (),
    note: str = "",
    pick: bool = False,
) -> LabelResult:
    """Keep the word for each frame that is as it was seen; with `pick`, want them in the next normal set, too.

    Raises `PermissionDenied`, `NotFound`, `InvalidChange`.
    """
    newest = _newest(session, [one.frame_id for one in seen])
    left: list[Review] = []
    said: list[ShownFrame] = []
    for one in seen:
        last = newest[one.frame_id]
        is_again = last is not None and (last.idempotency_key, last.label) == (idempotency_key(one, who.name), label)
        if last is not None and last.id != one.last_review_id and not is_again:
            left.append(last)
        else:
            said.append(one)
    sayings = [LabelSubmission(idempotency_key(one, who.name), one.frame_id, label, tuple(tags), note) for one in said]
    kept = review_actions.label(session, who, sayings, at) if sayings else []
    if pick:
        for one in said:
            normal_set_actions.propose(session, who, one.frame_id, at)
    return LabelResult(tuple(one.review for one in kept), tuple(left))


def take_back(session: Session, who: Actor, review_ids: Sequence[int], at: datetime) -> int:
    """Take back these words, newest first; return how many were taken back now. Raises `PermissionDenied`,
    `InvalidChange`."""
    done = 0
    for review_id in sorted(review_ids, reverse=True):
        done += review_actions.undo(session, who, undo_id(review_id), at, review_id).is_new
    return done


def last_batch(session: Session, who: str, most: int) -> list[Review]:
    """What undo takes back: this person's newest word that counts, with those said by the same press."""
    last = reviews.find_latest_by(session, who)
    if last is None:
        return []
    together = [one for one in reviews.recent(session, by=who, limit=2 * most) if one.at == last.at]
    counting = labels.current(session, [one.frame_id for one in together])
    found = [one for one in together if one.frame_id in counting and counting[one.frame_id].review_id == one.id]
    return found or [last]


def _newest(session: Session, frame_ids: Sequence[UUID]) -> dict[UUID, Review | None]:
    found: dict[UUID, Review | None] = {}
    for frame_id in frame_ids:
        history = reviews.history(session, frame_id)
        found[frame_id] = history[0] if history else None
    return found
