"""The worker's heartbeat in the database, by which the dashboard distinguishes a quiet line from a dead scorer."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import structlog

from foundation.clock import Clock
from foundation.threads import background_thread
from storage.database.engine import Database
from storage.errors import StorageError
from storage.line import workers
from storage.line.workers import WorkerState, WorkerStatus

log = structlog.get_logger()


class Heartbeat:
    """Writes the worker's row at an interval, from a thread of its own because a batch may take long."""

    def __init__(self, database: Database, name: str, detector: str, interval_s: float, clock: Clock) -> None:
        """Write nothing yet; `running` does."""
        now = clock()
        self._database = database
        self._interval_s = interval_s
        self._clock = clock
        self._status = WorkerStatus(name, "starting", "", detector, 0, now, now)
        self._changed = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Write heartbeats while the block lasts, and at its end that the worker stopped, with its error if any."""
        with background_thread(self._beat, "heartbeat", on_stop=self._changed.set):
            try:
                yield
            except BaseException as error:
                self._status = replace(self._status, state="stopped", message=str(error) or repr(error))
                raise
            self._status = replace(self._status, state="stopped", message="")

    def report(self, state: WorkerState, message: str = "") -> None:
        """Change the state; the row follows at once."""
        if (state, message) != (self._status.state, self._status.message):
            self._status = replace(self._status, state=state, message=message)
            self._changed.set()

    def report_lag(self, frames: int) -> None:
        """Change the number of uncommitted frames; the row follows with the next heartbeat."""
        self._status = replace(self._status, lag=frames)

    def _beat(self, stop: threading.Event) -> None:
        while True:
            self._changed.clear()
            is_last = stop.is_set()
            try:
                with self._database.begin() as session:
                    workers.heartbeat(session, replace(self._status, seen_at=self._clock()))
            except StorageError as error:  # the worker's loop has the same error, and reports it
                log.debug("no heartbeat written", error=str(error))
            if is_last:
                return
            self._changed.wait(self._interval_s)
