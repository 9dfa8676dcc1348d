"""The alert watch and the courier as one process; the courier has a thread of its own, as services may answer late."""

import threading
from datetime import UTC, datetime

from alerts.notify import Courier
from alerts.watch import Watch
from andon.filling import rooms
from andon.settings import Settings
from storage.database import Database

STOP_WITHIN_S = 10.0  # a message that takes longer is sent again by the next watch


class Sentinel:
    """Runs both until it is told to stop."""

    def __init__(self, watch: Watch, courier: Courier) -> None:
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
            telling.join(timeout=STOP_WITHIN_S)


def sentinel(settings: Settings, database: Database) -> Sentinel:
    """Both over one database."""
    return Sentinel(Watch(database, now, lambda: rooms(settings)), Courier(database, now))


def now() -> datetime:
    return datetime.now(UTC)
