"""Reads snapshots of the line incrementally: frames that were read before are cached, and only new ones are queried.

The cache holds nothing but the newest rows of the database. A new reader fills it again, so losing one loses nothing.
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
from storage.alerts.rule_inputs import ActiveNormalSet, ScoreScale, VerdictEvent
from storage.line import stations, workers
from storage.line.drops import DELETED_UNREAD
from storage.line.stations import Station
from storage.line.workers import WorkerStatus

OVERLAP = 200  # newest ids that are read again, because a transaction that began earlier may commit later
MAX_NEW_VERDICTS = 5000  # in one round; with more, the windows are read again instead
MAX_DEAD_LETTERS = 1000
HEARTBEAT_TIMEOUT = timedelta(seconds=30)  # after this time without a heartbeat a worker does not count
LAG_REPORT_AGE = timedelta(seconds=15)  # a worker measured its lag at most this long before its heartbeat
RECENT_DECISIONS = timedelta(seconds=10)  # the latency of frames decided within this time is expected of others


@dataclass(slots=True)
class StationHistory:
    """The cached frames of one station.

    Attributes:
        frames: Its newest frames in order of arrival, oldest first.
        in_control: The frames that control limits are computed from, oldest first.
        in_control_of: The scale of their scores, and when their normal set was activated.
    """

    frames: list[VerdictEvent] = field(default_factory=list)
    in_control: list[VerdictEvent] = field(default_factory=list)
    in_control_of: tuple[ScoreScale, datetime] | None = None

    def add(self, frame: VerdictEvent) -> None:
        """Add a new frame, and drop the oldest beyond `MAX_FRAMES`."""
        if self.in_control_of is not None and len(self.in_control) < MAX_IN_CONTROL_FRAMES and frame.decision == "pass":
            scale, activated_at = self.in_control_of
            last_at = self.in_control[-1].captured_at if self.in_control else activated_at
            if frame.scale == scale and frame.captured_at > last_at:
                self.in_control.append(frame)
        insort(self.frames, frame, key=lambda each: each.id)
        if len(self.frames) > MAX_FRAMES:
            del self.frames[0]

    def last_arrived_at(self) -> datetime | None:
        """Return when the newest frame arrived, by the times that are believed; None without a frame.

        The time of a decision counts for the newest frame alone: earlier frames arrived before it.
        """
        if not self.frames:
            return None
        believed = (frame.published_at for frame in self.frames if frame.arrived_at == frame.published_at)
        return max(self.frames[-1].arrived_at, max(believed, default=self.frames[-1].arrived_at))


class SnapshotReader:
    """Reads one database and caches frames between two calls of `read`."""

    def __init__(self) -> None:
        """Start with an empty cache."""
        self._histories: dict[int, StationHistory] = {}
        self._last_id = 0
        self._recent_ids: set[int] = set()
        self._recent: list[VerdictEvent] = []
        self._samples: deque[LineSample] = deque()
        self._is_filled = False

    def forget(self) -> None:
        """Discard the cached frames, so that the next call reads them again, as after an error."""
        self._is_filled = False

    def read(self, session: Session, now: datetime, disk_usages: Sequence[DiskUsage]) -> LineSnapshot:
        """Return the snapshot of this transaction.

        Args:
            session: A read-only session.
            now: The time of the round, in UTC.
            disk_usages: The usage of disks and spools, for the line's view.
        """
        all_stations = stations.list_all(session)
        if not self._is_filled or not self._read_new(session):
            self._fill(session, all_stations)
        active_sets = rule_inputs.active_normal_sets(session)
        for station in all_stations:
            self._read_in_control(session, station.id, active_sets.get(station.id))
        statuses = workers.list_all(session)
        self._add_sample(statuses, now)
        return LineSnapshot(
            now=now,
            line=LineView(
                now=now,
                samples=tuple(self._samples),
                dead_letters=rule_inputs.dead_letters_since(session, now - ALERT_HORIZON, MAX_DEAD_LETTERS),
                deleted_unread=rule_inputs.drops_since(session, now - ALERT_HORIZON, DELETED_UNREAD),
                disk_usages=disk_usages,
                scorer_expected=bool(active_sets),
            ),
            stations=self._views(all_stations, active_sets, self._decided_until(statuses, now), now),
            settings=alert_rules.list_all(session),
            unresolved={(alert.station_id, alert.rule): alert for alert in alerts.unresolved(session)},
            handled_until=_handled_until(session, now),
            muted=frozenset(mutes.in_force(session, now)),
        )

    def _fill(self, session: Session, all_stations: Sequence[Station]) -> None:
        """Fill the cache from the database."""
        self._last_id = rule_inputs.last_verdict_id(session)
        self._recent = rule_inputs.verdicts_after(session, self._last_id - OVERLAP, OVERLAP)
        self._recent_ids = {frame.id for frame in self._recent}
        self._histories = {}
        for station in all_stations:
            history = self._histories[station.id] = StationHistory()
            history.frames = rule_inputs.newest_verdicts(session, station.id, MAX_FRAMES)
        self._is_filled = True

    def _read_new(self, session: Session) -> bool:
        """Add new frames to the cache; return False if it must be filled again.

        That is so when too many frames are new to be sure of all, and when the database was replaced by another.
        """
        frames = rule_inputs.verdicts_after(session, self._last_id - OVERLAP, MAX_NEW_VERDICTS)
        if len(frames) == MAX_NEW_VERDICTS or (self._last_id > 0 and not frames):
            return False
        for frame in frames:
            if frame.id not in self._recent_ids:
                self._histories.setdefault(frame.station_id, StationHistory()).add(frame)
        self._last_id = max(self._last_id, *(frame.id for frame in frames)) if frames else 0
        self._recent = frames
        self._recent_ids = {frame.id for frame in frames if frame.id > self._last_id - OVERLAP}
        return True

    def _read_in_control(self, session: Session, station_id: int, active: ActiveNormalSet | None) -> None:
        """Read the first frames that passed if scores have another scale; later ones are added as they arrive."""
        history = self._histories.setdefault(station_id, StationHistory())
        newest = next((frame.scale for frame in reversed(history.frames) if frame.scale is not None), None)
        current = None
        if active is not None and newest is not None:
            current = newest._replace(normal_set_id=active.normal_set_id), active.activated_at
        if history.in_control_of == current:
            return
        history.in_control_of = current
        history.in_control = (
            []
            if current is None
            else rule_inputs.passed_since(session, station_id, *current, limit=MAX_IN_CONTROL_FRAMES)
        )

    def _add_sample(self, statuses: Sequence[WorkerStatus], now: datetime) -> None:
        """Add a sample of the workers' lag, and drop those older than `LAG_HISTORY`."""
        alive = [
            status for status in statuses if status.state != "stopped" and now - status.seen_at <= HEARTBEAT_TIMEOUT
        ]
        running = sum(status.state == "running" for status in alive)
        message = next((status.message for status in alive if status.message), "")
        self._samples.append(LineSample(now, sum(status.lag for status in alive), running, message))
        while now - self._samples[0].at > LAG_HISTORY:
            self._samples.popleft()

    def _decided_until(self, statuses: Sequence[WorkerStatus], now: datetime) -> datetime | None:
        """Return the time until which every frame that arrived has been decided, or None if that is unknown.

        It follows from the newest frame of any station, and from a scorer that has no frame left to read. Scorers are
        not equally far with every station, so the latency of recent frames is subtracted.
        """
        latest = max((frame.decided_at for frame in self._recent), default=now)
        recent = (frame for frame in self._recent if frame.decided_at >= latest - RECENT_DECISIONS)
        latency = max((frame.decided_at - frame.arrived_at for frame in recent), default=timedelta())
        arrivals = (history.last_arrived_at() for history in self._histories.values())
        times = [arrived_at - latency for arrived_at in arrivals if arrived_at is not None]
        times += [
            status.seen_at - LAG_REPORT_AGE for status in statuses if status.state == "running" and status.lag == 0
        ]
        return min(max(times), now) if times else None

    def _views(
        self,
        all_stations: Sequence[Station],
        active_sets: Mapping[int, ActiveNormalSet],
        decided_until: datetime | None,
        now: datetime,
    ) -> dict[int, StationView]:
        views = {}
        for station in all_stations:
            history, active = self._histories[station.id], active_sets.get(station.id)
            views[station.id] = StationView(
                now=now,
                station=station.name,
                frames=tuple(history.frames),
                last_arrived_at=history.last_arrived_at(),
                decided_until=decided_until,
                in_control=tuple(history.in_control),
                active_since=None if active is None else active.activated_at,
                stale_after_s=station.settings.stale_after_s,
            )
        return views


def _handled_until(session: Session, now: datetime) -> dict[AlertKey, datetime]:
    """Return until when each key has been dealt with, by an alert that was resolved or a mute that ended."""
    until = dict(rule_inputs.last_resolved(session))
    for station_id, ended_at in rule_inputs.last_unmuted(session, now).items():
        for kind in rules_by_kind():
            key = (station_id, kind)
            until[key] = max(until.get(key, ended_at), ended_at)
    return until
