"""Audited changes: a person's permission, the change itself and its audit entry, in the caller's one transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from storage.auth import audit_log
from storage.auth.actors import Actor
from storage.auth.permission import authorize
from storage.auth.rights import Action


@dataclass
class Change:
    """A change while it is being made; `actor` has the role that the person has now.

    The block that makes the change sets `before` and `after` to what the audit log shows: records or JSON values,
    None where nothing existed. It sets `subject` and `station` (a name) where they are known only then.
    """

    actor: Actor
    subject: str
    station: str | None
    before: object = None
    after: object = None


@contextmanager
def audited(
    session: Session,
    actor: Actor,
    action: Action,
    at: datetime,
    subject: str = "",
    *,
    station: str | None = None,
    reason: str = "",
) -> Iterator[Change]:
    """Authorize the actor, let the block make the change, and record it in the audit log.

    Nothing is recorded when `before` equals `after` at the end of the block, or when the block raises. Raises
    `PermissionDenied` before the block is entered.
    """
    change = Change(authorize(session, actor, action), subject, station)
    yield change
    if change.before != change.after:
        audit_log.record(
            session,
            change.actor,
            action,
            at,
            station=change.station,
            subject=change.subject,
            before=change.before,
            after=change.after,
            reason=reason,
        )
