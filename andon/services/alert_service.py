"""The alert service: the monitor, and the dispatcher of notifications in a thread of its own."""

import importlib.util
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from alerts.monitor.monitor import AlertMonitor
from alerts.notification.dispatcher import NotificationDispatcher
from andon.services.disk_usage import disk_usages
from andon.settings import Settings
from foundation.clock import utc_now
from foundation.threads import background_thread
from storage.database.engine import Database
from storage.errors import SchemaMismatch

STOP_TIMEOUT_S = 10.0  # a message that takes longer is sent again after the next start

log = structlog.get_logger()


class AlertService:
    """Runs the monitor and the dispatcher over one database; a slow notification service delays no alert.

    Of all processes that run one, one evaluates the rules: it holds the lease of the alert watch.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        """Create both from the settings."""
        watcher = f"{socket.gethostname()}-{os.getpid()}"
        self.monitor = AlertMonitor(database, utc_now, lambda: disk_usages(settings), watcher)
        self._dispatcher = NotificationDispatcher(database, utc_now)

    def run(self, stop: threading.Event, interval_s: float) -> None:
        """Evaluate the rules every `interval_s` seconds until `stop` is set, and notify people, whoever watches.

        Notifications that could not be sent stay queued.

        Raises:
            SchemaMismatch: The database has another schema than this version needs.
        """
        with background_thread(self._dispatcher.run, "notifications", join_timeout_s=STOP_TIMEOUT_S):
            self.monitor.run(stop, interval_s)

    def _dispatch_while_watching(self, stop: threading.Event) -> None:
        """Send notifications while this process watches; one without the library leaves them in the queue."""
        if importlib.util.find_spec("apprise") is None:
            log.warning("notifications are sent by `andon alerts watch` alone: the extra alerts is not installed here")
            return
        self._dispatcher.run(stop, is_active=lambda: self.monitor.watches)

    @contextmanager
    def running(self, interval_s: float) -> Iterator[None]:
        """Run in threads for as long as the block lasts, beside a scorer, and idle while another process watches."""

        def watch(stop: threading.Event) -> None:
            try:
                self.monitor.run(stop, interval_s)
            except SchemaMismatch as error:  # the process itself stops with the same error
                log.error("no alerts are watched for", error=str(error))

        with (
            background_thread(self._dispatch_while_watching, "notifications", join_timeout_s=STOP_TIMEOUT_S),
            background_thread(watch, "alerts", join_timeout_s=STOP_TIMEOUT_S),
        ):
            yield
