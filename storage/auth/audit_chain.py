"""The hash chain of the audit log: each entry's hash covers its content and the hash of the entry before.

Whoever changes, adds or removes an entry has to write every later hash anew, and a copy elsewhere then shows it. The
first hash covers all entries that were made before there were hashes.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from storage.database.tables import AuditRow

BEGINNING = "0" * 64
CHAIN_LOCK = 0x6175646974  # "audit" in ASCII; PostgreSQL's advisory lock of who adds an entry
CONTENT = ("at", "actor", "role", "action", "station", "subject", "before", "after", "reason")
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class ChainedEntry:
    """One entry as stored, oldest first; `hash` is None for one that was made before there were hashes."""

    id: int
    content: Mapping[str, Any]
    hash: str | None


@dataclass(frozen=True, slots=True)
class Verification:
    """The number of entries, the last hash, and the id of the first entry that does not fit, or None."""

    entries: int
    last_hash: str
    broken_at: int | None


def next_hash(session: Session, content: Mapping[str, Any]) -> str:
    """Return the hash of an entry that is about to be added; nobody else adds one until the transaction ends."""
    if session.get_bind().dialect.name == "postgresql":  # SQLite has one writer anyway
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": CHAIN_LOCK})
    last = session.scalar(select(AuditRow.hash).order_by(AuditRow.id.desc()).limit(1))
    if last is None:
        last = BEGINNING
        for entry in entries(session):
            last = entry_hash(last, entry.content)
    return entry_hash(last, content)


def entry_hash(previous: str, content: Mapping[str, Any]) -> str:
    """Return the hash of an entry after one with the hash `previous`."""
    values = {name: _plain(content[name]) for name in CONTENT}
    canonical = json.dumps([previous, values], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def entries(session: Session, after_id: int = 0) -> Iterator[ChainedEntry]:
    """Yield the entries after an id, oldest first, read page by page."""
    columns = [getattr(AuditRow, name) for name in CONTENT]
    while True:
        query = select(AuditRow.id, AuditRow.hash, *columns).where(AuditRow.id > after_id).order_by(AuditRow.id)
        page = session.execute(query.limit(_PAGE)).all()
        for row in page:
            yield ChainedEntry(row.id, {name: getattr(row, name) for name in CONTENT}, row.hash)
        if len(page) < _PAGE:
            return
        after_id = page[-1].id


def verify(session: Session) -> Verification:
    """Compute every hash again, and compare."""
    count, last, is_chained = 0, BEGINNING, False
    for entry in entries(session):
        count += 1
        computed = entry_hash(last, entry.content)
        if entry.hash is None and not is_chained:
            last = computed
            continue
        is_chained = True
        if entry.hash != computed:
            return Verification(count, last, entry.id)
        last = computed
    return Verification(count, last, None)


def _plain(value: Any) -> Any:
    return value.astimezone(UTC).isoformat(timespec="microseconds") if isinstance(value, datetime) else value
