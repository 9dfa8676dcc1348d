"""The audit log: who changed what, when, from what to what, and why. Rows are added and never changed."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, is_dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, String, cast, insert, or_, select
from sqlalchemy.orm import Session

from storage.auth import audit_chain
from storage.auth.actors import Actor
from storage.auth.rights import Action
from storage.database.rows import columns_of
from storage.database.tables import AuditRow
from storage.database.truncate import truncate, truncate_or_none

PAGE_SIZE = 100
FORMER_ACTIONS: Mapping[str, Action] = {"review.say": "review.label", "normal_set.pick": "normal_set.propose"}
"""Codes in entries from before migration 0005 → today's; entries are never changed, so reading translates them."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change; `station` is a name or None, `before` and `after` are JSON values, None where nothing existed."""

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
    """Which entries to return; `text` is searched in subject, reason, actor, before and after, ignoring case."""

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
    """Add an entry, chained to the one before, in the transaction of the change; `to_json` converts the two values."""
    content = {
        "at": at,
        "actor": truncate(actor.name, 64),
        "role": str(actor.role),
        "action": action,
        "station": truncate_or_none(station, 64),
        "subject": truncate(subject, 200),
        "before": to_json(before),
        "after": to_json(after),
        "reason": truncate(reason, 500),
    }
    session.execute(insert(AuditRow).values(**content, hash=audit_chain.next_hash(session, content)))


def list_entries(
    session: Session, filters: AuditFilter = ALL_ENTRIES, *, after: AuditEntry | None = None, limit: int = PAGE_SIZE
) -> list[AuditEntry]:
    """Return entries, newest first; for the next page, `after` is the last entry of this one.

    A former code of an action (`FORMER_ACTIONS`) is returned and found as today's.
    """
    query = _filtered(select(*_COLUMNS), filters)
    if after is not None:
        query = query.where(AuditRow.at <= after.at, or_(AuditRow.at < after.at, AuditRow.id < after.id))
    query = query.order_by(AuditRow.at.desc(), AuditRow.id.desc()).limit(limit)
    if filters.action is None:
        return [_entry(row) for row in session.execute(query)]
    codes = [filters.action, *(former for former, action in FORMER_ACTIONS.items() if action == filters.action)]
    # One query per code: each reads its index in order, where a query for several codes may sort all their entries.
    found = [_entry(row) for code in codes for row in session.execute(query.where(AuditRow.action == code))]
    return sorted(found, key=lambda entry: (entry.at, entry.id), reverse=True)[:limit]


def export(session: Session, filters: AuditFilter = ALL_ENTRIES) -> Iterator[AuditEntry]:
    """Yield all entries, newest first, read page by page."""
    last: AuditEntry | None = None
    while page := list_entries(session, filters, after=last, limit=1000):
        yield from page
        last = page[-1]


def to_json(value: object) -> Any:
    """Convert a record to a JSON value: dataclasses to objects, sequences to lists, times to RFC 3339, ids to text."""
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


def _entry(row: Any) -> AuditEntry:
    entry = AuditEntry(*row)
    return replace(entry, action=FORMER_ACTIONS.get(entry.action, entry.action))


def _filtered(query: Select[Any], filters: AuditFilter) -> Select[Any]:
    """Add the conditions of a filter, except that on the action."""
    if filters.since is not None:
        query = query.where(AuditRow.at >= filters.since)
    if filters.until is not None:
        query = query.where(AuditRow.at < filters.until)
    if filters.actor is not None:
        query = query.where(AuditRow.actor == filters.actor)
    if filters.station is not None:
        query = query.where(AuditRow.station == filters.station)
    if filters.text:
        query = query.where(or_(*(column.icontains(filters.text, autoescape=True) for column in _SEARCHED)))
    return query
