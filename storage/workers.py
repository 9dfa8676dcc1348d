"""Workers: what each scoring process last said of itself."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.rows import columns, insert_into, values
from storage.tables import WorkerRow
from storage.text import fit

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
    row = values(worker) | {"name": fit(worker.name, 120), "message": fit(worker.message, 500)}
    statement = insert_into(session, WorkerRow).values(**row)
    changed = {name: statement.excluded[name] for name in row if name != "name"}
    session.execute(statement.on_conflict_do_update(index_elements=["name"], set_=changed))


def list_all(session: Session) -> list[Worker]:
    """By name."""
    rows = session.execute(select(*columns(WorkerRow, Worker)))
    return sorted((Worker(*row) for row in rows), key=lambda worker: worker.name)
