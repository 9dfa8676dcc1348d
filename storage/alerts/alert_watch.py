"""The alert watch: which of several processes evaluates the rules, and whether any does.

Any number of processes may offer to watch; a lease in the database makes one of them do it. It ends `LEASE` after it
was renewed last, and then another process takes it.
"""

from datetime import datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from storage.database.rows import insert_into
from storage.database.tables import AlertWatchRow
from storage.database.truncate import truncate

LEASE = timedelta(seconds=15)
_ID = 1


def hold(session: Session, holder: str, at: datetime) -> bool:
    """Take or renew the lease, unless another process holds it; return whether this one holds it now."""
    name = truncate(holder, 120)
    statement = insert_into(session, AlertWatchRow).values(id=_ID, holder=name, renewed_at=at)
    taken = statement.on_conflict_do_update(
        index_elements=["id"],
        set_={"holder": name, "renewed_at": at},
        where=or_(AlertWatchRow.holder == name, AlertWatchRow.renewed_at < at - LEASE),
    )
    return session.scalar(taken.returning(AlertWatchRow.holder)) == name


def holder(session: Session, at: datetime) -> str | None:
    """Return the process that watches; None where none has for longer than a lease."""
    found = session.execute(select(AlertWatchRow.holder, AlertWatchRow.renewed_at)).first()
    return None if found is None or at - found.renewed_at > LEASE else found.holder
