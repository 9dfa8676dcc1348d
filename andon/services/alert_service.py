"""The alert service: the monitor, and the dispatcher of notifications in a thread of its own."""

import threading

from alerts.monitor.monitor import AlertMonitor
from alerts.notification.dispatcher import NotificationDispatcher
from andon.services.disk_usage import disk_usages
from andon.settings import Settings
from foundation.clock import utc_now
from foundation.threads import background_thread
from storage.database.engine import Database

STOP_TIMEOUT_S = 10.0  # a message that takes longer is sent again after the next start


class AlertService:
    """Runs the monitor and the dispatcher over one database; a slow notification service delays no alert."""

    def __init__(self, settings: Settings, database: Database) -> None:
        """Create both from the settings."""
        self.monitor = AlertMonitor(database, utc_now, lambda: disk_usages(settings))
        self._dispatcher = NotificationDispatcher(database, utc_now)

    def run(self, stop: threading.Event, interval_s: float) -> None:
        """Evaluate the rules every `interval_s` seconds until `stop` is set; unsent notifications stay queued.

        Raises:
            SchemaMismatch: The database has another schema than this version needs.
        """
        with background_thread(self._dispatcher.run, "notifications", join_timeout_s=STOP_TIMEOUT_S):
            self.monitor.run(stop, interval_s)
