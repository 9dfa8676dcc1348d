"""Dead letters: messages that could not become a verdict, stored whole, to be inspected and replayed."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import Session

from storage.database.rows import columns_of, insert_new, row_of
from storage.database.tables import DeadLetterRow
from storage.database.truncate import truncate, truncate_or_none
from storage.errors import NotFound

UNREADABLE = "unreadable-record"
"""The reason of a message that the bus could not read: the payload has its bytes as far as the bus returned them."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A rejected message; `station` is what it claims, if readable. Its payload is in the image store."""

    id: int | None  # None until recorded
    topic: str
    partition: int
    offset: int
    reason: str
    error: str
    station: str | None
    key: str | None
    headers: tuple[tuple[str, bytes], ...]
    payload_reference: str
    payload_bytes: int
    occurred_at: datetime
    replayed_at: datetime | None


def record(session: Session, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
    """Write a batch, leaving out those that exist (same position, same payload); return the new ones, with their ids.

    Text that is too long for its column is cut, and characters that cannot be stored are replaced.
    """
    new_ids = insert_new(session, DeadLetterRow, [_row(letter) for letter in letters], "id")
    query = select(*_COLUMNS).where(DeadLetterRow.id.in_(new_ids)).order_by(DeadLetterRow.id)
    return [_letter(row) for row in session.execute(query)] if new_ids else []


def get(session: Session, letter_id: int) -> DeadLetter:
    """Return the dead letter; raises `NotFound`."""
    row = session.execute(select(*_COLUMNS).where(DeadLetterRow.id == letter_id)).first()
    if row is None:
        raise NotFound(f"There is no dead letter {letter_id}: `andon dead-letters list` shows those there are.")
    return _letter(row)


def recent(session: Session, *, replayed: bool | None = None, limit: int = 100, offset: int = 0) -> list[DeadLetter]:
    """Return dead letters, newest first; `replayed` selects those that were or were not replayed."""
    query = _filtered(select(*_COLUMNS), replayed).order_by(DeadLetterRow.occurred_at.desc(), DeadLetterRow.id.desc())
    return [_letter(row) for row in session.execute(query.limit(limit).offset(offset))]


def count(session: Session, *, replayed: bool | None = None) -> int:
    """Return the number of dead letters; `replayed` selects as in `recent`."""
    return session.scalar(_filtered(select(func.count()).select_from(DeadLetterRow), replayed)) or 0


def mark_replayed(session: Session, letter_id: int, at: datetime) -> None:
    """Record that the message was published again; raises `NotFound`."""
    get(session, letter_id)
    session.execute(update(DeadLetterRow).where(DeadLetterRow.id == letter_id).values(replayed_at=at))


_COLUMNS = columns_of(DeadLetterRow, DeadLetter)


def _filtered(query: Select[Any], replayed: bool | None) -> Select[Any]:
    if replayed is None:
        return query
    return query.where(DeadLetterRow.replayed_at.is_not(None) if replayed else DeadLetterRow.replayed_at.is_(None))


def _row(letter: DeadLetter) -> dict[str, Any]:
    row = row_of(letter) | {
        "reason": truncate(letter.reason, 64),
        "error": truncate(letter.error, 1000),
        "station": truncate_or_none(letter.station, 255),
        "key": truncate_or_none(letter.key, 255),
        "headers": [[truncate(name, 1000), base64.b64encode(value).decode()] for name, value in letter.headers],
    }
    del row["id"]  # the database counts
    return row


def _letter(row: Any) -> DeadLetter:
    fields = dict(row._mapping)
    fields["headers"] = tuple((name, base64.b64decode(value)) for name, value in fields["headers"])
    return DeadLetter(**fields)
