"""Workers: what each scoring process last said of itself."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy.orm import Session

WorkerState = Literal["starting", "running", "waiting", "stopped"]


@dataclass(frozen=True, slots=True)
class Worker:
    """`message` says what it waits for, when it waits; `lag` is how many frames lie before it."""

    name: str
    state: WorkerState
    message: str
    detector: str
    lag: int
    started_at: datetime
    seen_at: datetime


def beat(session: Session, worker: Worker) -> None:
    """Insert or update the worker's row."""
    raise NotImplementedError


def list_all(session: Session) -> list[Worker]:
    raise NotImplementedError
