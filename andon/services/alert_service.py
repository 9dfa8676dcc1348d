"""The alert watch and the courier as one process; the courier has a thread of its own, as services may answer late."""

import threading

from alerts.monitor.monitor import AlertMonitor
from alerts.notification.dispatcher import NotificationDispatcher
from andon.services.disk_usage import disk_usages
from andon.settings import Settings
from foundation.clock import utc_now
from storage.database.engine import Database

STOP_TIMEOUT_S = 10.0  # a message that takes longer is sent again by the next watch


class AlertService:
    """Runs both until it is told to stop."""

    def __init__(self, watch: AlertMonitor, courier: NotificationDispatcher) -> None:
        self.watch = watch
        self._courier = courier

    def run(self, stop: threading.Event, every_s: float) -> None:
        """Return once `stop` is set; what is not sent then stays in the outbox."""
        ended = threading.Event()
        telling = threading.Thread(target=self._courier.run, args=(ended,), name="courier", daemon=True)
        telling.start()
        try:
            self.watch.run(stop, every_s)
        finally:
            ended.set()
            telling.join(timeout=STOP_TIMEOUT_S)


def create_alert_service(settings: Settings, database: Database) -> AlertService:
    """Both over one database."""
    return AlertService(
        AlertMonitor(database, utc_now, lambda: disk_usages(settings)), NotificationDispatcher(database, utc_now)
    )
