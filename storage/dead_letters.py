"""Dead letters: messages that can't become a verdict, kept whole, to be looked at and replayed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """`station` is what the message claims, if it could be read. The payload lies in the image store."""

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


def record(session: Session, letters: Sequence[DeadLetter]) -> int:
    """Write a batch, leaving out those already there (same place, same payload); return how many were new."""
    raise NotImplementedError


def get(session: Session, letter_id: int) -> DeadLetter:
    raise NotImplementedError


def recent(session: Session, *, replayed: bool | None = None, limit: int = 100, offset: int = 0) -> list[DeadLetter]:
    """Newest first."""
    raise NotImplementedError


def count(session: Session, *, replayed: bool | None = None) -> int:
    raise NotImplementedError


def mark_replayed(session: Session, letter_id: int, at: datetime) -> None:
    raise NotImplementedError
