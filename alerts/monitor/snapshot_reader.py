"""Reads a moment of the line, little by little: what was read before is kept, and only new verdicts are asked for.

All that is kept is the newest of what the database holds. A new reader reads it anew, so nothing is lost with one.
"""

from bisect import insort
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from alerts.monitor.transitions import AlertKey, LineSnapshot
from alerts.rules.registry import rules_by_kind
from alerts.views import (
    ALERT_HORIZON,
    LAG_HISTORY,
    MAX_FRAMES,
    MAX_IN_CONTROL_FRAMES,
    DiskUsage,
    LineSample,
    LineView,
    StationView,
)
from storage.alerts import alert_rules, alerts, mutes, rule_inputs
from storage.alerts.rule_inputs import ActiveNormalSet, VerdictEvent
from storage.line import stations, workers
from storage.line.stations import Station
from storage.line.workers import WorkerStatus

OVERLAP = 200  # newest ids that are read again: a transaction that began earlier may end later
MAX_NEW_VERDICTS = 5000  # new verdicts in one round; with more, the windows are read anew instead
MAX_DEAD_LETTERS = 1000
HEARTBEAT_TIMEOUT = timedelta(seconds=30)  # a worker that was not seen for longer is not counted
LAG_REPORT_AGE = timedelta(seconds=15)  # a worker's lag was measured at most this long before it was seen
RECENT_DECISIONS = timedelta(seconds=10)  # what frames took on their way lately, other frames may take now


@dataclass(slots=True)
class StationHistory:
    """A station's newest frames, oldest captured first, and those that its limits are drawn from."""

    frames: list[VerdictEvent] = field(default_factory=list)
    last_published_at: datetime | None = None
    in_control: list[VerdictEvent] = field(default_factory=list)
    in_control_of: tuple[int, str, datetime] | None = None

    def take(self, frame: VerdictEvent) -> None:
        if self.in_control_of is not None and len(self.in_control) < MAX_IN_CONTROL_FRAMES and frame.decision == "pass":
            set_id, model_id, since = self.in_control_of
            last = self.in_control[-1].captured_at if self.in_control else since
            if (frame.normal_set_id, frame.model_id) == (set_id, model_id) and frame.captured_at > last:
                self.in_control.append(frame)
        insort(self.frames, frame, key=_in_order)
        if len(self.frames) > MAX_FRAMES:
            del self.frames[0]
        self.last_published_at = (
            frame.published_at if self.last_published_at is None else max(self.last_published_at, frame.published_at)
        )


class SnapshotReader:
    """Keeps what it has read between two calls of `moment`; use one for one database."""

    def __init__(self) -> None:
        self._stations: dict[int, StationHistory] = {}
        self._last_id = 0
        self._known: set[int] = set()
        self._newest: list[VerdictEvent] = []
        self._points: deque[LineSample] = deque()
        self._is_filled = False

    def forget(self) -> None:
        """Read the verdicts anew next time, as after an error half-way."""
        self._is_filled = False

    def moment(self, session: Session, now: datetime, disk_usages: Sequence[DiskUsage]) -> LineSnapshot:
        """Everything a round is decided by, as it is in this transaction."""
        known = stations.list_all(session)
        if not self._is_filled or not self._read_new(session):
            self._fill(session, known)
        in_force = rule_inputs.active_normal_sets(session)
        for station in known:
            self._read_in_control(session, station.id, in_force.get(station.id))
        at_work = workers.list_all(session)
        self._note(at_work, now)
        return LineSnapshot(
            now=now,
            line=LineView(
                now=now,
                points=tuple(self._points),
                letters=rule_inputs.dead_letters_since(session, now - ALERT_HORIZON, MAX_DEAD_LETTERS),
                disk_usages=disk_usages,
                scorer_expected=bool(in_force),
            ),
            stations=self._views(known, in_force, self._known_until(at_work, now), now),
            settings=alert_rules.list_all(session),
            unresolved={(alert.station_id, alert.rule): alert for alert in alerts.unresolved(session)},
            past=_past(session, now),
            muted=frozenset(mutes.in_force(session, now)),
        )

    def _fill(self, session: Session, known: Sequence[Station]) -> None:
        self._last_id = rule_inputs.last_verdict_id(session)
        self._newest = rule_inputs.verdicts_after(session, self._last_id - OVERLAP, OVERLAP)
        self._known = {one.id for one in self._newest}
        self._stations = {}
        for station in known:
            memory = self._stations[station.id] = StationHistory()
            memory.frames = rule_inputs.newest_verdicts(session, station.id, MAX_FRAMES)
            memory.last_published_at = max((frame.published_at for frame in memory.frames), default=None)
        self._is_filled = True

    def _read_new(self, session: Session) -> bool:
        """Take in what is new; False where that is not known: too much is new, or the database was replaced."""
        found = rule_inputs.verdicts_after(session, self._last_id - OVERLAP, MAX_NEW_VERDICTS)
        if len(found) == MAX_NEW_VERDICTS or (self._last_id > 0 and not found):
            return False
        for frame in found:
            if frame.id not in self._known:
                self._stations.setdefault(frame.station_id, StationHistory()).take(frame)
        self._last_id = max(self._last_id, *(frame.id for frame in found)) if found else 0
        self._newest = found
        self._known = {frame.id for frame in found if frame.id > self._last_id - OVERLAP}
        return True

    def _read_in_control(self, session: Session, station_id: int, active: ActiveNormalSet | None) -> None:
        """Read the first frames that passed when another set or model is in use; later ones are taken as they come."""
        memory = self._stations.setdefault(station_id, StationHistory())
        model_id = next((frame.model_id for frame in reversed(memory.frames) if frame.model_id is not None), None)
        wanted = None if active is None or model_id is None else (active.normal_set_id, model_id, active.activated_at)
        if memory.in_control_of == wanted:
            return
        memory.in_control_of = wanted
        memory.in_control = (
            []
            if wanted is None
            else rule_inputs.passed_since(session, station_id, *wanted, limit=MAX_IN_CONTROL_FRAMES)
        )

    def _note(self, at_work: Sequence[WorkerStatus], now: datetime) -> None:
        alive = [
            worker for worker in at_work if worker.state != "stopped" and now - worker.seen_at <= HEARTBEAT_TIMEOUT
        ]
        running = [worker for worker in alive if worker.state == "running"]
        said = next((worker.message for worker in alive if worker.message), "")
        self._points.append(LineSample(now, sum(worker.lag for worker in alive), len(running), said))
        while now - self._points[0].at > LAG_HISTORY:
            self._points.popleft()

    def _known_until(self, at_work: Sequence[WorkerStatus], now: datetime) -> datetime | None:
        """Until when all is decided: the newest frame of any station, or a scorer that has none before it.

        Scorers are not equally far with every station: less than what frames lately took is not known of another.
        """
        latest = max((frame.decided_at for frame in self._newest), default=now)
        lately = (frame for frame in self._newest if frame.decided_at >= latest - RECENT_DECISIONS)
        behind = max((frame.decided_at - frame.published_at for frame in lately), default=timedelta())
        moments = [
            memory.last_published_at - behind
            for memory in self._stations.values()
            if memory.last_published_at is not None
        ]
        moments += [
            worker.seen_at - LAG_REPORT_AGE for worker in at_work if worker.state == "running" and worker.lag == 0
        ]
        return min(max(moments), now) if moments else None

    def _views(
        self,
        known: Sequence[Station],
        in_force: Mapping[int, ActiveNormalSet],
        decided_until: datetime | None,
        now: datetime,
    ) -> dict[int, StationView]:
        views = {}
        for station in known:
            memory, active = self._stations[station.id], in_force.get(station.id)
            views[station.id] = StationView(
                now=now,
                station=station.name,
                frames=tuple(memory.frames),
                last_published_at=memory.last_published_at,
                decided_until=decided_until,
                in_control=tuple(memory.in_control),
                active_since=None if active is None else active.activated_at,
                stale_after_s=station.settings.stale_after_s,
            )
        return views


def _past(session: Session, now: datetime) -> dict[AlertKey, datetime]:
    """Until when each place has been dealt with."""
    past = dict(rule_inputs.last_resolved(session))
    unmuted = rule_inputs.last_unmuted(session, now)
    for station_id, ended_at in unmuted.items():
        for kind in rules_by_kind():
            place = (station_id, kind)
            past[place] = max(past.get(place, ended_at), ended_at)
    return past


def _in_order(frame: VerdictEvent) -> tuple[datetime, int]:
    return frame.captured_at, frame.id
