"""Workers: the last heartbeat of each scoring process."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.database.rows import columns_of, insert_into, row_of
from storage.database.tables import WorkerRow
from storage.database.truncate import truncate

WorkerState = Literal["starting", "running", "waiting", "stopped"]


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """`message` says what a waiting worker waits for; `lag` is the number of frames it has not read yet."""

    name: str
    state: WorkerState
    message: str
    detector: str
    lag: int
    started_at: datetime
    seen_at: datetime


def heartbeat(session: Session, worker: WorkerStatus) -> None:
    """Insert or update the worker's row."""
    row = row_of(worker) | {"name": truncate(worker.name, 120), "message": truncate(worker.message, 500)}
    statement = insert_into(session, WorkerRow).values(**row)
    changed = {name: statement.excluded[name] for name in row if name != "name"}
    session.execute(statement.on_conflict_do_update(index_elements=["name"], set_=changed))


def list_all(session: Session) -> list[WorkerStatus]:
    """Return all workers by name."""
    rows = session.execute(select(*columns_of(WorkerRow, WorkerStatus)))
    return sorted((WorkerStatus(*row) for row in rows), key=lambda worker: worker.name)
