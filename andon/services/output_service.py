"""The output service: delivers to every output of the settings, each in a thread of its own."""

import threading
from contextlib import ExitStack, closing

import structlog

from andon.settings import Settings
from foundation.backoff import Backoff
from foundation.clock import utc_now
from foundation.threads import background_thread
from outputs.delivery import OutputDelivery
from outputs.registry import create_output
from storage.database.engine import Database
from storage.errors import SchemaMismatch, StorageError
from storage.outputs import outputs

STOP_TIMEOUT_S = 10.0  # what an output sends for longer is sent again after the next start
CHECK_INTERVAL_S = 0.2

log = structlog.get_logger()


class OutputService:
    """Runs the deliveries over one database; an output that fails or hangs delays no other one."""

    def __init__(self, settings: Settings, database: Database) -> None:
        """Create every output from its settings, without connecting.

        Raises:
            OutputsError: An output's settings are not valid.
            PluginError: An output of another package does not work.
        """
        self._database = database
        self._backoff = Backoff(settings.outputs.retry_backoff_s, settings.outputs.retry_backoff_max_s)
        self._outage = ""
        self._deliveries = [
            OutputDelivery(name, create_output(name, table), database, settings.outputs, utc_now)
            for name, table in settings.outputs.tables.items()
        ]

    @property
    def delivered(self) -> int:
        """The number of verdicts that were delivered so far, counted once per output."""
        return sum(delivery.delivered for delivery in self._deliveries)

    def run(self, stop: threading.Event, drain: bool) -> None:
        """Deliver until `stop` is set, or with `drain` until no output has a verdict to deliver.

        Raises:
            SchemaMismatch: The database has another schema than this version needs.
        """
        self._register(stop)
        with ExitStack() as stack:
            threads = [
                stack.enter_context(
                    background_thread(
                        lambda _, delivery=delivery: _run(delivery, stop, drain),  # type: ignore[misc]
                        f"output {delivery.name}",
                        join_timeout_s=STOP_TIMEOUT_S,
                    )
                )
                for delivery in self._deliveries
            ]
            while not stop.is_set() and any(thread.is_alive() for thread in threads):
                stop.wait(CHECK_INTERVAL_S)

    def health(self) -> list[str]:
        """Return why the service is unhealthy, one sentence per reason; may be called from any thread."""
        reasons = [reason for delivery in self._deliveries for reason in delivery.health()]
        return [*([self._outage] if self._outage else []), *reasons]

    def _register(self, stop: threading.Event) -> None:
        """Register the outputs once the database is available, so that verdicts are queued for them."""
        while not stop.is_set():
            try:
                self._database.require_current_schema()
                with self._database.begin() as session:
                    for delivery in self._deliveries:
                        outputs.register(session, delivery.name, utc_now())
            except SchemaMismatch:
                raise
            except StorageError as error:
                self._outage = str(error)
                log.warning("outputs wait for the database", error=self._outage)
                stop.wait(self._backoff.next_s())
            else:
                self._outage = ""
                return


def _run(delivery: OutputDelivery, stop: threading.Event, drain: bool) -> None:
    with closing(delivery):
        delivery.run(stop, drain)
