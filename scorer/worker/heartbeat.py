"""Signs of life in the workers table, so that the wall can tell a quiet line from a dead scorer."""

import threading
from dataclasses import replace
from types import TracebackType

import structlog

from foundation.clock import Clock
from storage.database.engine import Database
from storage.errors import StorageError
from storage.line import workers
from storage.line.workers import WorkerState, WorkerStatus

log = structlog.get_logger()


class Heartbeat:
    """Beats from a thread of its own while entered, for one batch may take long; says at once what changed."""

    def __init__(self, database: Database, name: str, detector: str, heartbeat_interval_s: float, clock: Clock) -> None:
        now = clock()
        self._database = database
        self._beat_every_s = heartbeat_interval_s
        self._clock = clock
        self._worker = WorkerStatus(name, "starting", "", detector, 0, now, now)
        self._changed = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heart", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._worker = replace(
            self._worker, state="stopped", message="" if error is None else str(error) or repr(error)
        )
        self._ending.set()
        self._changed.set()
        self._thread.join()

    def say(self, state: WorkerState, message: str = "") -> None:
        """Change state; the row follows at once."""
        if (state, message) != (self._worker.state, self._worker.message):
            self._worker = replace(self._worker, state=state, message=message)
            self._changed.set()

    def lag(self, frames: int) -> None:
        """How many frames lie ahead; the row follows with the next beat."""
        self._worker = replace(self._worker, lag=frames)

    def _beat(self) -> None:
        while True:
            self._changed.clear()
            ending = self._ending.is_set()
            try:
                with self._database.begin() as session:
                    workers.heartbeat(session, replace(self._worker, seen_at=self._clock()))
            except StorageError as error:  # the worker itself meets this too, and says so
                log.debug("no sign of life written", error=str(error))
            if ending:
                return
            self._changed.wait(self._beat_every_s)
