"""A line in a database, watched by alert monitors whose clock a test sets."""

from collections.abc import Callable, Sequence
from datetime import timedelta

from alerts.monitor.monitor import AlertMonitor
from alerts.views import DiskUsage
from storage.alerts import alerts
from storage.alerts.alerts import Alert
from storage.database.engine import Database
from storage.line import stations, verdicts
from storage.line.normal_sets import NormalSet
from storage.line.stations import StationSettings
from testing.clock import ManualClock
from tests.alerts.examples import SECOND
from tests.storage.examples import NOON, add_active_set, make_verdict


class MonitoredLine:
    """Stations with normal sets, into which verdicts are written at the clock's time."""

    def __init__(self, database: Database, names: Sequence[str] = ("s1", "s2")) -> None:
        self.database, self.clock = database, ManualClock(NOON)
        self.normal_sets: dict[str, NormalSet] = {}
        with database.begin() as session:
            for name in names:
                added = stations.add(session, name, StationSettings(stale_after_s=30), NOON)
                self.normal_sets[name] = add_active_set(session, added)

    def record_verdicts(self, name: str, flags: str, interval: timedelta = SECOND) -> None:
        """Record one frame per character, each `interval` later than the last; x is flagged."""
        rows = []
        for flag in flags:
            self.clock.now += interval
            rows.append(
                make_verdict(self.normal_sets[name], at=self.clock.now, decision="flag" if flag == "x" else "pass")
            )
        with self.database.begin() as session:
            verdicts.record(session, rows)

    def monitor(self, disk_usages: Callable[[], Sequence[DiskUsage]] = tuple) -> AlertMonitor:
        return AlertMonitor(self.database, self.clock, disk_usages)

    def all_alerts(self) -> list[Alert]:
        with self.database.read() as session:
            return list(reversed(alerts.recent(session)))

    def id_of(self, name: str) -> int:
        return self.normal_sets[name].station_id
