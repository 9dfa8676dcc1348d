"""What people do to dead letters."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from storage.auth import audit_log
from storage.auth.actors import Actor
from storage.auth.permission import authorize
from storage.line import dead_letters


def require_replay(session: Session, actor: Actor) -> None:
    """Raises `PermissionDenied`; to be asked before a message is published, which is not undone with the
    transaction."""
    authorize(session, actor, "dead_letter.replay")


def mark_replayed(session: Session, actor: Actor, letter_ids: Sequence[int], at: datetime) -> None:
    """Note that these letters' messages were published again; raises `PermissionDenied`, `NotFound`."""
    who = authorize(session, actor, "dead_letter.replay")
    for letter_id in letter_ids:
        letter = dead_letters.get(session, letter_id)
        dead_letters.mark_replayed(session, letter_id, at)
        audit_log.record(
            session,
            who,
            "dead_letter.replay",
            at,
            station=letter.station,
            subject=f"dead letter {letter_id}, {letter.reason}",
            before={"replayed_at": letter.replayed_at},
            after={"replayed_at": at},
        )
