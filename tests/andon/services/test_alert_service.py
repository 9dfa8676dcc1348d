"""The alert service beside a scorer."""

import os
import threading
from pathlib import Path

from andon.services.alert_service import AlertService
from andon.settings import Settings
from foundation.clock import utc_now
from storage.alerts import alert_watch
from storage.database.engine import Database
from testing.waiting import wait_until


def test_a_scorer_watches_for_alerts_while_nobody_else_does(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/andon.db")
    database.upgrade()
    service = AlertService(Settings(), database)
    other = AlertService(Settings(), database)
    other.monitor._watcher = "another process"

    def stop_at_once(stop: threading.Event, _: float) -> bool:
        stop.set()
        return True

    def holder() -> str | None:
        with database.read() as session:
            return alert_watch.holder(session, utc_now())

    with service.running(0.1):
        wait_until(lambda: service.monitor.watches)
        assert str(os.getpid()) in (holder() or "")
        other.monitor.run(threading.Event(), 0.1, wait_for=stop_at_once)
        assert not other.monitor.watches
    database.close()
