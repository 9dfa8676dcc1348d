"""Actions on outputs."""

from datetime import datetime

from sqlalchemy.orm import Session

from storage.actions.audited import audited
from storage.auth.actors import Actor
from storage.outputs import outbox, outputs
from storage.outputs.outputs import OutputState


def retry(session: Session, actor: Actor, name: str, at: datetime) -> int:
    """Queue the output's rejected verdicts again; return their number. Raises `NotFound`."""
    with audited(session, actor, "output.retry", at, f"output {name}") as change:
        outputs.get(session, name)
        count = outbox.retry(session, name)
        change.before, change.after = {"rejected": count}, {"rejected": 0}
    return count


def remove(session: Session, actor: Actor, name: str, at: datetime) -> OutputState:
    """Delete an output with its queue and return it as it was; raises `NotFound`."""
    with audited(session, actor, "output.remove", at, f"output {name}") as change:
        removed = outputs.remove(session, name)
        change.before = {"pending": removed.pending, "rejected": removed.rejected}
    return removed
