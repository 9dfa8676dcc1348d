"""Back-off of the worker: report outages, and choose the wait before the next attempt."""

import structlog

from foundation.backoff import Backoff
from foundation.errors import Retriable
from scorer import metrics
from scorer.worker.heartbeat import Heartbeat

CAUSES = {"bus": "bus", "database": "database", "images": "image store", "model": "model"}
"""Resources that may be unavailable: `Retriable.cause` and its name in messages."""

log = structlog.get_logger()


class WorkerBackoff:
    """Waits grow with each failure in a row; the outage shows in health, metrics, heartbeat and log."""

    def __init__(self, first_s: float, max_s: float, heartbeat: Heartbeat) -> None:
        """Wait `first_s` seconds after the first failure, doubled for each further one up to `max_s`."""
        self._backoff = Backoff(first_s, max_s)
        self._heartbeat = heartbeat
        self.message = ""
        """The outage that the worker waits for, as one sentence; empty while everything is available."""

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt failed."""
        return self._backoff.failures > 0

    def failed(self, error: Retriable) -> float:
        """Report an outage, in the log only if it is another one than before; return the seconds to wait."""
        wait_s = self._backoff.next_s()
        message = f"Waiting for the {CAUSES[error.cause]}: {error}"
        if message != self.message:
            log.warning("waiting, nothing is lost", cause=error.cause, error=str(error), next_attempt_in_s=wait_s)
        self._report(message, error.cause)
        return wait_s

    def recovered(self) -> None:
        """Report that everything is available."""
        if self.message:
            log.info("everything is available again", waited_for=self.message)
        self._backoff.reset()
        self._report("", cause=None)

    def _report(self, message: str, cause: str | None) -> None:
        self.message = message
        for known in CAUSES:
            metrics.DEPENDENCY_UNAVAILABLE.labels(known).set(known == cause)
        self._heartbeat.report("waiting" if message else "running", message)
