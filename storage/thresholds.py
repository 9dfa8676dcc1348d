"""Thresholds per (station, normal set, model); history is kept, the newest is in force."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class Threshold:
    """A score above `value` is flagged. `promise` says in words what this number of normals can promise."""

    station_id: int
    normal_set_id: int
    model_id: str
    value: float
    false_reject_rate: float
    promise: str
    made_at: datetime
    made_by: str


def record(session: Session, threshold: Threshold) -> None:
    raise NotImplementedError


def current(session: Session, station_id: int, normal_set_id: int, model_id: str) -> Threshold | None:
    raise NotImplementedError


def history(session: Session, station_id: int) -> list[Threshold]:
    """Newest first."""
    raise NotImplementedError
