"""Reads a moment of the line, little by little: what was read before is kept, and only new verdicts are asked for.

All that is kept is the newest of what the database holds. A new reader reads it anew, so nothing is lost with one.
"""

from bisect import insort
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from alerts.episodes import Moment, Place
from alerts.rules.registry import by_kind
from alerts.views import IN_CONTROL_MOST, LAG_KEPT, NEWS, WINDOW, LinePoint, LineView, Room, StationView
from storage import alert_rules, alerts, mutes, stations, watching, workers
from storage.stations import Station
from storage.watching import InForce, SeenVerdict
from storage.workers import Worker

OVERLAP = 200  # newest ids that are read again: a transaction that began earlier may end later
AT_ONCE = 5000  # new verdicts in one round; with more, the windows are read anew instead
LETTERS_MOST = 1000
ALIVE = timedelta(seconds=30)  # a worker that was not seen for longer is not counted
LAG_IS_OLD = timedelta(seconds=15)  # a worker's lag was measured at most this long before it was seen
LATELY = timedelta(seconds=10)  # what frames took on their way lately, other frames may take now


@dataclass(slots=True)
class StationMemory:
    """A station's newest frames, oldest captured first, and those that its limits are drawn from."""

    frames: list[SeenVerdict] = field(default_factory=list)
    heard_at: datetime | None = None
    in_control: list[SeenVerdict] = field(default_factory=list)
    in_control_of: tuple[int, str, datetime] | None = None

    def take(self, frame: SeenVerdict) -> None:
        if self.in_control_of is not None and len(self.in_control) < IN_CONTROL_MOST and frame.decision == "pass":
            set_id, model_id, since = self.in_control_of
            last = self.in_control[-1].captured_at if self.in_control else since
            if (frame.normal_set_id, frame.model_id) == (set_id, model_id) and frame.captured_at > last:
                self.in_control.append(frame)
        insort(self.frames, frame, key=_in_order)
        if len(self.frames) > WINDOW:
            del self.frames[0]
        self.heard_at = frame.published_at if self.heard_at is None else max(self.heard_at, frame.published_at)


class Reader:
    """Keeps what it has read between two calls of `moment`; use one for one database."""

    def __init__(self) -> None:
        self._stations: dict[int, StationMemory] = {}
        self._last_id = 0
        self._known: set[int] = set()
        self._newest: list[SeenVerdict] = []
        self._points: deque[LinePoint] = deque()
        self._is_filled = False

    def forget(self) -> None:
        """Read the verdicts anew next time, as after an error half-way."""
        self._is_filled = False

    def moment(self, session: Session, now: datetime, rooms: Sequence[Room]) -> Moment:
        """Everything a round is decided by, as it is in this transaction."""
        known = stations.list_all(session)
        if not self._is_filled or not self._read_new(session):
            self._fill(session, known)
        in_force = watching.sets_in_force(session)
        for station in known:
            self._read_in_control(session, station.id, in_force.get(station.id))
        at_work = workers.list_all(session)
        self._note(at_work, now)
        return Moment(
            now=now,
            line=LineView(
                now=now,
                points=tuple(self._points),
                letters=watching.letters_since(session, now - NEWS, LETTERS_MOST),
                rooms=rooms,
                inspects=bool(in_force),
            ),
            stations=self._views(known, in_force, self._known_until(at_work, now), now),
            settings=alert_rules.list_all(session),
            unresolved={(alert.station_id, alert.rule): alert for alert in alerts.unresolved(session)},
            past=_past(session, now),
            muted=frozenset(mutes.in_force(session, now)),
        )

    def _fill(self, session: Session, known: Sequence[Station]) -> None:
        self._last_id = watching.last_verdict_id(session)
        self._newest = watching.verdicts_after(session, self._last_id - OVERLAP, OVERLAP)
        self._known = {one.id for one in self._newest}
        self._stations = {}
        for station in known:
            memory = self._stations[station.id] = StationMemory()
            memory.frames = watching.newest_verdicts(session, station.id, WINDOW)
            memory.heard_at = max((frame.published_at for frame in memory.frames), default=None)
        self._is_filled = True

    def _read_new(self, session: Session) -> bool:
        """Take in what is new; False where that is not known: too much is new, or the database was replaced."""
        found = watching.verdicts_after(session, self._last_id - OVERLAP, AT_ONCE)
        if len(found) == AT_ONCE or (self._last_id > 0 and not found):
            return False
        for frame in found:
            if frame.id not in self._known:
                self._stations.setdefault(frame.station_id, StationMemory()).take(frame)
        self._last_id = max(self._last_id, *(frame.id for frame in found)) if found else 0
        self._newest = found
        self._known = {frame.id for frame in found if frame.id > self._last_id - OVERLAP}
        return True

    def _read_in_control(self, session: Session, station_id: int, active: InForce | None) -> None:
        """Read the first frames that passed when another set or model is in use; later ones are taken as they come."""
        memory = self._stations.setdefault(station_id, StationMemory())
        model_id = next((frame.model_id for frame in reversed(memory.frames) if frame.model_id is not None), None)
        wanted = None if active is None or model_id is None else (active.normal_set_id, model_id, active.activated_at)
        if memory.in_control_of == wanted:
            return
        memory.in_control_of = wanted
        memory.in_control = (
            [] if wanted is None else watching.passed_since(session, station_id, *wanted, limit=IN_CONTROL_MOST)
        )

    def _note(self, at_work: Sequence[Worker], now: datetime) -> None:
        alive = [worker for worker in at_work if worker.state != "stopped" and now - worker.seen_at <= ALIVE]
        running = [worker for worker in alive if worker.state == "running"]
        said = next((worker.message for worker in alive if worker.message), "")
        self._points.append(LinePoint(now, sum(worker.lag for worker in alive), len(running), said))
        while now - self._points[0].at > LAG_KEPT:
            self._points.popleft()

    def _known_until(self, at_work: Sequence[Worker], now: datetime) -> datetime | None:
        """Until when all is decided: the newest frame of any station, or a scorer that has none before it.

        Scorers are not equally far with every station: less than what frames lately took is not known of another.
        """
        latest = max((frame.decided_at for frame in self._newest), default=now)
        lately = (frame for frame in self._newest if frame.decided_at >= latest - LATELY)
        behind = max((frame.decided_at - frame.published_at for frame in lately), default=timedelta())
        moments = [memory.heard_at - behind for memory in self._stations.values() if memory.heard_at is not None]
        moments += [worker.seen_at - LAG_IS_OLD for worker in at_work if worker.state == "running" and worker.lag == 0]
        return min(max(moments), now) if moments else None

    def _views(
        self, known: Sequence[Station], in_force: Mapping[int, InForce], known_until: datetime | None, now: datetime
    ) -> dict[int, StationView]:
        views = {}
        for station in known:
            memory, active = self._stations[station.id], in_force.get(station.id)
            views[station.id] = StationView(
                now=now,
                station=station.name,
                frames=tuple(memory.frames),
                heard_at=memory.heard_at,
                known_until=known_until,
                in_control=tuple(memory.in_control),
                active_since=None if active is None else active.activated_at,
                stale_after_s=station.settings.stale_after_s,
            )
        return views


def _past(session: Session, now: datetime) -> dict[Place, datetime]:
    """Until when each place has been dealt with."""
    past = dict(watching.last_resolved(session))
    unmuted = watching.last_unmuted(session, now)
    for station_id, ended_at in unmuted.items():
        for kind in by_kind():
            place = (station_id, kind)
            past[place] = max(past.get(place, ended_at), ended_at)
    return past


def _in_order(frame: SeenVerdict) -> tuple[datetime, int]:
    return frame.captured_at, frame.id
