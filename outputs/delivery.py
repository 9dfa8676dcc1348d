"""Delivery: takes verdicts from the outbox to one output.

A round has three steps; none of them keeps a transaction open while the output works:

1. Read the oldest verdicts that this output has not delivered.
2. Send them.
3. Delete them from the outbox.

A crash after step 2 sends a batch again, so a receiver sees each verdict at least once. Two processes with the same
output do no harm but send twice: each of them sends a station's verdicts in order.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

import structlog

from foundation.backoff import Backoff
from foundation.clock import Clock
from foundation.failpoints import failpoint
from outputs import metrics
from outputs.errors import MessageRejected
from outputs.message import message_of
from outputs.protocol import MAX_BATCH, Output
from outputs.settings import OutputsSettings
from storage.database.engine import Database
from storage.errors import StorageError
from storage.outputs import outbox, outputs, pending
from storage.outputs.pending import PendingVerdict

log = structlog.get_logger()

Wait = Callable[[threading.Event, float], bool]


class OutputDelivery:
    """Delivers to one output, in a thread of its own; a failing output stops no other one."""

    def __init__(self, name: str, output: Output, database: Database, settings: OutputsSettings, clock: Clock) -> None:
        """Create the delivery of an output that is registered under `name`."""
        self.name = name
        self.delivered = 0
        self._output = output
        self._database = database
        self._clock = clock
        self._poll_interval_s = settings.poll_interval_s
        self._backoff = Backoff(settings.retry_backoff_s, settings.retry_backoff_max_s)
        self._error = ""
        self._recorded_error: str | None = ""  # what the database holds is unknown at the start
        self._oldest_at: datetime | None = None
        metrics.OLDEST_PENDING_SECONDS.labels(name).set_function(self._oldest_pending_s)

    def deliver(self) -> int:
        """Run one round and return the number of verdicts that left the queue: delivered, or rejected and set aside.

        Raises:
            StorageError: The database is unavailable, or the output was removed from it.
            Exception: Whatever the output raises; what was not sent stays queued.
        """
        with self._database.read() as session:  # 1.
            outputs.require_registered(session, self.name)
            batch = pending.oldest(session, self.name, MAX_BATCH)
        self._oldest_at = batch[0].verdict.decided_at if batch else None
        failpoint("outbox_read")
        if batch:
            self._send(batch)
        self._record_error(None)
        return len(batch)

    def run(self, stop: threading.Event, drain: bool = False, wait_for: Wait = threading.Event.wait) -> None:
        """Deliver until `stop` is set.

        Args:
            stop: Ends the loop after the current round.
            drain: Whether to end as soon as nothing is pending.
            wait_for: Waits for the event or for that many seconds.
        """
        while not stop.is_set():
            try:
                count = self.deliver()
            except Exception as error:  # noqa: BLE001  another package's output may raise anything; nothing is lost
                wait_for(stop, self._note_failure(error))
                continue
            self._error = ""
            self._backoff.reset()
            if count == 0:
                if drain:
                    return
                wait_for(stop, self._poll_interval_s)

    def health(self) -> list[str]:
        """Return why the output can't deliver, as a sentence; may be called from any thread."""
        return [f"The output {self.name} waits: {self._error}"] if self._error else []

    def close(self) -> None:
        """Close the output."""
        self._output.close()

    def _send(self, batch: Sequence[PendingVerdict]) -> None:
        """Send a batch and record the result; one with a message that is rejected is sent one by one."""
        ids = [one.verdict_id for one in batch]
        try:
            self._output.send([message_of(one) for one in batch])  # 2.
        except MessageRejected as error:
            if len(batch) > 1:
                for one in batch:
                    self._send([one])
                return
            with self._database.begin() as session:
                outbox.mark_rejected(session, self.name, ids[0], str(error))
            metrics.REJECTED.labels(self.name).inc()
            log.error("verdict rejected", output=self.name, frame=str(batch[0].verdict.frame_id), error=str(error))
            return
        failpoint("sent")
        with self._database.begin() as session:  # 3.
            outbox.mark_delivered(session, self.name, ids)
        failpoint("marked")
        self.delivered += len(ids)
        metrics.DELIVERED.labels(self.name).inc(len(ids))

    def _note_failure(self, error: Exception) -> float:
        """Report a failure and return the seconds to wait before the next attempt."""
        self._error = str(error) or type(error).__name__
        metrics.FAILURES.labels(self.name).inc()
        delay_s = self._backoff.next_s()
        log.warning(
            "output waits", output=self.name, error=self._error, failures=self._backoff.failures, wait_s=delay_s
        )
        with suppress(StorageError):  # recorded with the next failure
            self._record_error(self._error)
        return delay_s

    def _record_error(self, error: str | None) -> None:
        """Write why the output can't deliver to the database, where it has changed."""
        if error == self._recorded_error:
            return
        with self._database.begin() as session:
            outputs.set_error(session, self.name, error)
        self._recorded_error = error

    def _oldest_pending_s(self) -> float:
        return 0.0 if self._oldest_at is None else (self._clock() - self._oldest_at).total_seconds()
