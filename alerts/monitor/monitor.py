"""The alert monitor: evaluates the rules in rounds, opens and resolves alerts, and queues notifications.

A round has three steps:

1. Read new rows, in one read-only transaction.
2. Evaluate the rules, without the database.
3. Write the changes with their notifications, in one transaction.

The monitor keeps nothing that it can't read again, so it may be killed and restarted at any time. Of several monitors
with a name one holds the lease of the alert watch and evaluates. Two at once would do no harm: the database lets an
alert be opened only once.
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
from foundation.backoff import Backoff
from foundation.clock import Clock
from storage.alerts import alert_watch, alerts, notifications
from storage.alerts.alerts import Alert
from storage.database.engine import Database
from storage.errors import SchemaMismatch, StorageError

log = structlog.get_logger()

RETRY_FIRST_S, RETRY_MAX_S = 1.0, 30.0
Wait = Callable[[threading.Event, float], bool]


@dataclass(frozen=True, slots=True)
class MonitorRound:
    """The outcome of one round: the alerts that it opened and resolved, and the number still unresolved after it."""

    opened: tuple[Alert, ...] = ()
    resolved: tuple[Alert, ...] = ()
    unresolved: int = 0


class AlertMonitor:
    """Evaluates the rules of one database's stations and of the line."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        disk_usages: Callable[[], Sequence[DiskUsage]] = tuple,
        watcher: str | None = None,
    ) -> None:
        """Create a monitor.

        Args:
            database: Where verdicts are read and alerts are written.
            clock: Returns the present time in UTC.
            disk_usages: Called in each round for the usage of disks and spools.
            watcher: The name under which `run` takes the lease of the alert watch; None evaluates without it.
        """
        self._database = database
        self._clock = clock
        self._disk_usages = disk_usages
        self._watcher = watcher
        self._renewed_at: datetime | None = None  # None while another process watches
        self._reader = SnapshotReader()
        self._station_names: dict[int | None, str] = {}
        self._problems: tuple[str, ...] = ()
        self._outage = ""
        self._backoff = Backoff(RETRY_FIRST_S, RETRY_MAX_S)
        self._is_schema_checked = False
        self._exported: set[tuple[str, str]] = set()

    def run_round(self) -> MonitorRound:
        """Run one round.

        Raises:
            StorageError: The database is unavailable; the next round reads everything again.
        """
        with metrics.EVALUATION_SECONDS.time():
            disk_usages, now = self._disk_usages(), self._clock()
            try:
                with self._database.read() as session:  # 1.
                    snapshot = self._reader.read(session, now, disk_usages)
                transitions = evaluate_rules(snapshot)  # 2.
                opened, resolved = self._write(transitions.changes, now)  # 3.
            except StorageError:
                self._reader.forget()
                raise
        self._station_names = {None: "", **{key: view.station for key, view in snapshot.stations.items()}}
        self._log_problems(transitions.problems)
        resolved_ids = {alert.id for alert in resolved}
        unresolved = [alert for alert in snapshot.unresolved.values() if alert.id not in resolved_ids] + opened
        self._export_metrics(unresolved, opened, now)
        return MonitorRound(tuple(opened), tuple(resolved), len(unresolved))

    def run(
        self,
        stop: threading.Event,
        interval_s: float,
        on_round: Callable[[MonitorRound], None] = lambda _: None,
        wait_for: Wait = threading.Event.wait,
    ) -> None:
        """Run a round every `interval_s` seconds until `stop` is set, and wait while the database is unavailable.

        Rounds are left out while another process holds the lease of the alert watch.

        Args:
            stop: Ends the loop after the current round.
            interval_s: Seconds between two rounds.
            on_round: Called with the outcome of each round.
            wait_for: Waits for the event or for that many seconds.

        Raises:
            SchemaMismatch: The database has another schema than this version needs.
        """
        while not stop.is_set():
            delay_s = interval_s
            try:
                if not self._is_schema_checked:
                    self._database.require_current_schema()
                    self._is_schema_checked = True
                if self._holds_lease():
                    on_round(self.run_round())
                self._end_outage()
            except SchemaMismatch:
                raise
            except StorageError as error:
                delay_s = self._note_outage(error)
            wait_for(stop, delay_s)

    def _holds_lease(self) -> bool:
        """Return whether this monitor is the one that watches, and take or renew the lease where it is due."""
        now = self._clock()
        if self._watcher is None or (self._renewed_at is not None and now - self._renewed_at < alert_watch.LEASE / 3):
            return True
        with self._database.read() as session:
            holder = alert_watch.holder(session, now)
        is_held = False
        if holder in (None, self._watcher):
            with self._database.begin() as session:
                is_held = alert_watch.hold(session, self._watcher, now)
        if not is_held and self._renewed_at is not None:
            self._reader.forget()  # what happened meanwhile is read again when this process watches again
        self._renewed_at = now if is_held else None
        return is_held

    @property
    def watches(self) -> bool:
        """Whether this monitor is the one that evaluates the rules; from any thread."""
        return self._watcher is None or self._renewed_at is not None

    def health(self) -> list[str]:
        """Return why the monitor is unhealthy, one sentence per reason; may be called from any thread."""
        return [*([self._outage] if self._outage else []), *self._problems]

    def _write(self, changes: Sequence[AlertChange], now: datetime) -> tuple[list[Alert], list[Alert]]:
        """Write the changes in one transaction, and return the alerts that were opened and resolved."""
        opened: list[Alert] = []
        resolved: list[Alert] = []
        if not changes:
            return opened, resolved
        with self._database.begin() as session:
            for change in changes:
                if isinstance(change, OpenAlert):
                    station_id, kind = change.key
                    alert = alerts.open_episode(
                        session, station_id, kind, change.severity, change.message, change.evidence, now
                    )
                    if alert is not None:  # otherwise another monitor has opened it
                        notifications.enqueue(session, alert, "opened", now)
                        opened.append(alert)
                elif isinstance(change, ResolveAlert):
                    alert = alerts.resolve(session, change.alert.id, None, now)
                    if alert.resolved_at == now:  # otherwise a person has resolved it
                        notifications.enqueue(session, alert, "resolved", now)
                        resolved.append(alert)
                elif isinstance(change, UpdateAlert):
                    alerts.refresh(session, change.alert.id, change.evidence, now)
        for alert in opened:
            log.warning("alert opened", rule=alert.rule, alert=alert.id, message=alert.message)
        for alert in resolved:
            log.info("alert resolved", rule=alert.rule, alert=alert.id)
        return opened, resolved

    def _export_metrics(self, unresolved: Sequence[Alert], opened: Sequence[Alert], now: datetime) -> None:
        current = {(self._station_names.get(alert.station_id, ""), alert.rule) for alert in unresolved}
        for labels in self._exported - current:
            metrics.OPEN.labels(*labels).set(0)
        for labels in current:
            metrics.OPEN.labels(*labels).set(1)
        self._exported |= current
        for alert in opened:
            metrics.OPENED.labels(self._station_names.get(alert.station_id, ""), alert.rule).inc()
        metrics.LAST_EVALUATION_TIMESTAMP_SECONDS.set(now.timestamp())

    def _log_problems(self, problems: tuple[str, ...]) -> None:
        for problem in problems:
            if problem not in self._problems:
                log.error("a rule is not evaluated", problem=problem)
        self._problems = problems

    def _end_outage(self) -> None:
        if self._outage:
            log.info("the database is available again")
        self._outage = ""
        self._backoff.reset()

    def _note_outage(self, error: StorageError) -> float:
        """Log a new outage once, and return the seconds to wait before the next round."""
        delay_s = self._backoff.next_s()
        outage = f"Waiting for the database: {error}"
        if outage != self._outage:
            log.warning("waiting for the database; no alert is lost", error=str(error), next_try_in_s=delay_s)
        self._outage = outage
        return delay_s
