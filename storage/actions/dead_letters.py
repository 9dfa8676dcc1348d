"""Actions on dead letters."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from storage.actions.audited import audited
from storage.auth.actors import Actor
from storage.auth.permission import authorize
from storage.line import dead_letters


def require_replay(session: Session, actor: Actor) -> None:
    """Raise `PermissionDenied` unless the actor may replay; for use before publishing, which no rollback undoes."""
    authorize(session, actor, "dead_letter.replay")


def mark_replayed(session: Session, actor: Actor, letter_ids: Sequence[int], at: datetime) -> None:
    """Record that the messages of these dead letters were published again; raises `NotFound`."""
    for letter_id in letter_ids:
        with audited(session, actor, "dead_letter.replay", at) as change:
            letter = dead_letters.get(session, letter_id)
            dead_letters.mark_replayed(session, letter_id, at)
            change.subject = f"dead letter {letter_id}, {letter.reason}"
            change.station = letter.station
            change.before = {"replayed_at": letter.replayed_at}
            change.after = {"replayed_at": at}
