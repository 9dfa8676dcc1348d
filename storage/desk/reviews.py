"""What people say of verdicts."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from storage import audit, review_queue, reviewed, reviews, stations
from storage.actors import Actor, Role
from storage.desk.permission import permit
from storage.errors import NotAllowed, RuleBroken
from storage.review_queue import Waiting, Wanted
from storage.reviews import Review, Said, Saying


def claim(
    session: Session, actor: Actor, wanted: Wanted, at: datetime, *, how_many: int = 1, skip: Sequence[UUID] = ()
) -> list[Waiting]:
    """The next frames to look at, held for this person for a while; raises `NotAllowed`."""
    who = permit(session, actor, "review.claim")
    return review_queue.claim(session, who.name, wanted, at, how_many=how_many, skip=skip)


def renew(session: Session, actor: Actor, frame_ids: Sequence[UUID], at: datetime) -> set[UUID]:
    """Hold frames for longer while somebody looks at them; return those still held. Raises `NotAllowed`."""
    return review_queue.renew(session, permit(session, actor, "review.claim").name, frame_ids, at)


def release(session: Session, actor: Actor, frame_ids: Sequence[UUID] | None = None) -> None:
    """Let others have the frames that this person holds, all unless named; raises `NotAllowed`."""
    review_queue.release(session, permit(session, actor, "review.claim").name, frame_ids)


def say(session: Session, actor: Actor, sayings: Sequence[Saying], at: datetime) -> list[Said]:
    """Keep words, all or none; what was said before is given back and is no entry. Raises as `reviews.say_all`."""
    who = permit(session, actor, "review.say")
    before = reviewed.current(session, [saying.frame_id for saying in sayings])
    said = reviews.say_all(session, sayings, who.name, at)
    for one in said:
        if one.is_new:
            old = before.get(one.review.frame_id)
            _enter(session, who, one.review, old and {"word": old.word, "tags": old.tags}, at)
    return said


def undo(session: Session, actor: Actor, said_id: UUID, at: datetime, review_id: int | None = None) -> Said:
    """Take back a word, else this person's newest; only an engineer takes back another's. Raises `NotAllowed`.

    Raises `RuleBroken` when there is nothing to take back, and as `reviews.take_back`.
    """
    who = permit(session, actor, "review.undo")
    before = reviews.get(session, review_id) if review_id is not None else reviews.last_of(session, who.name)
    if before is None:
        raise RuleBroken(f"There is no word of {who.name} that could be taken back.")
    if before.by != who.name and who.role.rank < Role.ENGINEER.rank:
        raise NotAllowed(f"This word is {before.by}'s: only they or an engineer can take it back.")
    said = reviews.take_back(session, said_id, before.id, who.name, at)
    if said.is_new:
        station = stations.name_of(session, before.station_id)
        now = reviewed.current(session, [before.frame_id]).get(before.frame_id)
        audit.record(
            session,
            who,
            "review.undo",
            at,
            station=station,
            subject=f"frame {before.frame_id}",
            before={"word": before.word, "tags": before.tags},
            after=now and {"word": now.word, "tags": now.tags},
        )
    return said


def _enter(session: Session, who: Actor, review: Review, before: object, at: datetime) -> None:
    audit.record(
        session,
        who,
        "review.say",
        at,
        station=stations.name_of(session, review.station_id),
        subject=f"frame {review.frame_id}",
        before=before,
        after={"decision": review.decision, "word": review.word, "tags": review.tags},
        reason=review.note,
    )
