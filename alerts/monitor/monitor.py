"""The watch: looks at the line again and again, opens and resolves alerts, and puts notifications into the outbox.

1. Read what is new, in one transaction that can't write.
2. Decide by the rules, without the database.
3. Write what changes, with its notifications, in one transaction.

Nothing is kept that can't be read again, so a watch may be killed and started at any moment. Two at once do no harm:
the database lets an episode be opened once.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from alerts import metrics
from alerts.monitor.snapshot_reader import SnapshotReader
from alerts.monitor.transitions import AlertChange, OpenAlert, ResolveAlert, UpdateAlert, evaluate_rules
from alerts.views import DiskUsage
from foundation.clock import Clock
from storage.alerts import alerts, notifications
from storage.alerts.alerts import Alert
from storage.database.engine import Database
from storage.errors import SchemaMismatch, StorageError

log = structlog.get_logger()

RETRY_FIRST_S, RETRY_MOST_S = 1.0, 30.0
Wait = Callable[[threading.Event, float], bool]


@dataclass(frozen=True, slots=True)
class MonitorRound:
    """What one look changed, and how many alerts are open after it."""

    opened: tuple[Alert, ...] = ()
    resolved: tuple[Alert, ...] = ()
    unresolved: int = 0


class AlertMonitor:
    """Over one database. `disk_usages` is asked in each round how full disks and spools are."""

    def __init__(
        self, database: Database, clock: Clock, disk_usages: Callable[[], Sequence[DiskUsage]] = tuple
    ) -> None:
        self._database = database
        self._clock = clock
        self._rooms = disk_usages
        self._reader = SnapshotReader()
        self._names: dict[int | None, str] = {}
        self._problems: tuple[str, ...] = ()
        self._away = ""
        self._failures = 0
        self._is_checked = False
        self._shown: set[tuple[str, str]] = set()

    def look(self) -> MonitorRound:
        """One round; raises `StorageError` when the database is away, and is as good as new after that."""
        with metrics.EVALUATION_SECONDS.time():
            disk_usages, now = self._rooms(), self._clock()
            try:
                with self._database.read() as session:
                    moment = self._reader.moment(session, now, disk_usages)
                decided = evaluate_rules(moment)
                opened, resolved = self._write(decided.changes, now)
            except StorageError:
                self._reader.forget()
                raise
        self._names = {None: "", **{station_id: view.station for station_id, view in moment.stations.items()}}
        self._tell_problems(decided.problems)
        gone = {alert.id for alert in resolved}
        left = [alert for alert in moment.unresolved.values() if alert.id not in gone] + opened
        self._measure(left, opened, now)
        return MonitorRound(tuple(opened), tuple(resolved), len(left))

    def run(
        self,
        stop: threading.Event,
        every_s: float,
        told: Callable[[MonitorRound], None] = lambda _: None,
        wait_for: Wait = threading.Event.wait,
    ) -> None:
        """Look every `every_s` seconds until `stop`; waits for a database that is away. Raises `SchemaMismatch`."""
        while not stop.is_set():
            delay_s = every_s
            try:
                if not self._is_checked:
                    self._database.require_current_schema()
                    self._is_checked = True
                told(self.look())
                self._is_back()
            except SchemaMismatch:
                raise
            except StorageError as error:
                delay_s = self._is_away(error)
            wait_for(stop, delay_s)

    def health(self) -> list[str]:
        """Why the watch is not well, one sentence a reason; from any thread."""
        return [*([self._away] if self._away else []), *self._problems]

    def _write(self, changes: Sequence[AlertChange], now: datetime) -> tuple[list[Alert], list[Alert]]:
        opened: list[Alert] = []
        resolved: list[Alert] = []
        if not changes:
            return opened, resolved
        with self._database.begin() as session:
            for change in changes:
                if isinstance(change, OpenAlert):
                    station_id, kind = change.place
                    alert = alerts.open_episode(
                        session, station_id, kind, change.severity, change.message, change.evidence, now
                    )
                    if alert is not None:  # else another watch was quicker
                        notifications.enqueue(session, alert, "opened", now)
                        opened.append(alert)
                elif isinstance(change, ResolveAlert):
                    alert = alerts.resolve(session, change.alert.id, None, now)
                    if alert.resolved_at == now:  # else a person was quicker
                        notifications.enqueue(session, alert, "resolved", now)
                        resolved.append(alert)
                elif isinstance(change, UpdateAlert):
                    alerts.refresh(session, change.alert.id, change.evidence, now)
        for alert in opened:
            log.warning("alert opened", rule=alert.rule, alert=alert.id, says=alert.message)
        for alert in resolved:
            log.info("alert resolved", rule=alert.rule, alert=alert.id)
        return opened, resolved

    def _measure(self, left: Sequence[Alert], opened: Sequence[Alert], now: datetime) -> None:
        shown = {(self._names.get(alert.station_id, ""), alert.rule) for alert in left}
        for gone in self._shown - shown:
            metrics.OPEN.labels(*gone).set(0)
        for labels in shown:
            metrics.OPEN.labels(*labels).set(1)
        self._shown |= shown
        for alert in opened:
            metrics.OPENED.labels(self._names.get(alert.station_id, ""), alert.rule).inc()
        metrics.LAST_EVALUATION_TIMESTAMP_SECONDS.set(now.timestamp())

    def _tell_problems(self, problems: tuple[str, ...]) -> None:
        for problem in problems:
            if problem not in self._problems:
                log.error("rule not watched", problem=problem)
        self._problems = problems

    def _is_back(self) -> None:
        if self._away:
            log.info("the database is there again")
        self._away, self._failures = "", 0

    def _is_away(self, error: StorageError) -> float:
        """Say so once; return how many seconds to wait."""
        delay_s = min(RETRY_MOST_S, RETRY_FIRST_S * 2.0 ** min(self._failures, 30))
        self._failures += 1
        said = f"Waiting for the database: {error}"
        if said != self._away:
            log.warning("waiting, no alert is lost", error=str(error), next_try_in_s=delay_s)
        self._away = said
        return delay_s
