"""Parked frames: they wait for their station's first active normal set, and become verdicts then."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class ParkedFrame:
    frame_id: UUID
    station_id: int
    captured_at: datetime
    published_at: datetime
    parked_at: datetime
    image_reference: str
    content_type: str
    part_id: str | None
    truth: str | None
    topic: str
    partition: int
    offset: int


def park(session: Session, frames: Sequence[ParkedFrame]) -> int:
    """Idempotent by frame id, and leaves out frames that already have a verdict; return how many were new."""
    raise NotImplementedError


def stations_ready(session: Session) -> list[int]:
    """Ids of stations that have parked frames and an active normal set."""
    raise NotImplementedError


def take(session: Session, station_id: int, limit: int) -> list[ParkedFrame]:
    """The oldest parked frames, locked until the transaction ends (PostgreSQL skips those another worker holds)."""
    raise NotImplementedError


def release(session: Session, frame_ids: Sequence[UUID]) -> None:
    """Forget frames that have become verdicts or dead letters, in the same transaction that writes those."""
    raise NotImplementedError


def count(session: Session, station_id: int | None = None) -> int:
    raise NotImplementedError
