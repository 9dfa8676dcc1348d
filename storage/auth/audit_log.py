"""The audit log: who changed what, when, from what to what and why. Rows are added and never changed."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, String, cast, insert, or_, select
from sqlalchemy.orm import Session

from storage.auth.actors import Actor
from storage.auth.rights import Action
from storage.database.rows import columns_of
from storage.database.tables import AuditRow
from storage.database.truncate import truncate, truncate_or_none

PAGE_SIZE = 100


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change; `station` is a name, None where it concerns none, and `before` or `after` None where nothing was."""

    id: int
    at: datetime
    actor: str
    role: str
    action: str
    station: str | None
    subject: str
    before: Any
    after: Any
    reason: str


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries; `text` is looked for in subject, reason, name, before and after, capitals or not."""

    since: datetime | None = None
    until: datetime | None = None
    actor: str | None = None
    action: str | None = None
    station: str | None = None
    text: str | None = None


ALL_ENTRIES = AuditFilter()


def record(
    session: Session,
    actor: Actor,
    action: Action,
    at: datetime,
    *,
    station: str | None = None,
    subject: str,
    before: object = None,
    after: object = None,
    reason: str = "",
) -> None:
    """Add an entry in the transaction that makes the change; records become JSON objects, times RFC 3339."""
    session.execute(
        insert(AuditRow).values(
            at=at,
            actor=truncate(actor.name, 64),
            role=str(actor.role),
            action=action,
            station=truncate_or_none(station, 64),
            subject=truncate(subject, 200),
            before=to_json(before),
            after=to_json(after),
            reason=truncate(reason, 500),
        )
    )


def list_entries(
    session: Session, which: AuditFilter = ALL_ENTRIES, *, after: AuditEntry | None = None, limit: int = PAGE_SIZE
) -> list[AuditEntry]:
    """Newest first; the next page begins after the last entry of this one."""
    query = _which(select(*_COLUMNS), which)
    if after is not None:
        query = query.where(AuditRow.at <= after.at, or_(AuditRow.at < after.at, AuditRow.id < after.id))
    query = query.order_by(AuditRow.at.desc(), AuditRow.id.desc()).limit(limit)
    return [AuditEntry(*row) for row in session.execute(query)]


def export(session: Session, which: AuditFilter = ALL_ENTRIES) -> Iterator[AuditEntry]:
    """All of them, newest first, read page by page."""
    last: AuditEntry | None = None
    while page := list_entries(session, which, after=last, limit=1000):
        yield from page
        last = page[-1]


def to_json(value: object) -> Any:
    """What JSON can hold of a record: dataclasses by field, sequences as lists, times and ids as text."""
    if is_dataclass(value) and not isinstance(value, type):
        return to_json(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): to_json(each) for key, each in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [to_json(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str):
        return truncate(value, 1000)
    return str(value) if isinstance(value, UUID) else value


_COLUMNS = columns_of(AuditRow, AuditEntry)
_SEARCHED = (
    AuditRow.subject,
    AuditRow.reason,
    AuditRow.actor,
    cast(AuditRow.before, String),
    cast(AuditRow.after, String),
)


def _which(query: Select[Any], which: AuditFilter) -> Select[Any]:
    if which.since is not None:
        query = query.where(AuditRow.at >= which.since)
    if which.until is not None:
        query = query.where(AuditRow.at < which.until)
    if which.actor is not None:
        query = query.where(AuditRow.actor == which.actor)
    if which.action is not None:
        query = query.where(AuditRow.action == which.action)
    if which.station is not None:
        query = query.where(AuditRow.station == which.station)
    if which.text:
        query = query.where(or_(*(column.icontains(which.text, autoescape=True) for column in _SEARCHED)))
    return query
