"""The alert watch and the courier as one process; the courier has a thread of its own, as services may answer late."""

import threading

from alerts.monitor.monitor import AlertMonitor
from alerts.notification.dispatcher import NotificationDispatcher
from andon.services.disk_usage import disk_usages
from andon.settings import Settings
from foundation.clock import utc_now
from foundation.threads import background_thread
from storage.database.engine import Database

STOP_TIMEOUT_S = 10.0  # a message that takes longer is sent again by the next watch


class AlertService:
    """Runs both until it is told to stop."""

    def __init__(self, watch: AlertMonitor, courier: NotificationDispatcher) -> None:
        self.watch = watch
        self._courier = courier

    def run(self, stop: threading.Event, every_s: float) -> None:
        """Return once `stop` is set; what is not sent then stays in the outbox."""
        with background_thread(self._courier.run, "notifications", join_timeout_s=STOP_TIMEOUT_S):
            self.watch.run(stop, every_s)


def create_alert_service(settings: Settings, database: Database) -> AlertService:
    """Both over one database."""
    return AlertService(
        AlertMonitor(database, utc_now, lambda: disk_usages(settings)), NotificationDispatcher(database, utc_now)
    )
