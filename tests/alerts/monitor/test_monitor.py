"""The monitor on real databases: one alert per episode, through restarts, outages and mutes."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from alerts.monitor.monitor import AlertMonitor, MonitorRound
from alerts.monitor.snapshot_reader import SnapshotReader
from alerts.views import MAX_FRAMES, DiskUsage
from storage.alerts import alert_rules, alerts, channels, mutes, notifications
from storage.alerts.alert_rules import AlertRule
from storage.alerts.alerts import Alert
from storage.database.engine import Database
from storage.errors import SchemaMismatch, StorageUnavailable
from storage.line import stations, verdicts, workers
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station, StationSettings
from storage.line.workers import WorkerStatus
from tests.alerts.examples import SECOND
from tests.storage.examples import NOON, a_verdict, an_active_set

MINUTE = timedelta(minutes=1)


class Clock:
    """A clock that advances only when it is set."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


class Line:
    """Stations with normal sets, into which verdicts are written at the clock's time."""

    def __init__(self, database: Database, names: Sequence[str] = ("s1", "s2")) -> None:
        self.database, self.clock = database, Clock()
        self.sets: dict[str, NormalSet] = {}
        with database.begin() as session:
            for name in names:
                added = stations.add(session, name, StationSettings(stale_after_s=30), NOON)
                self.sets[name] = an_active_set(session, added)

    def decide(self, name: str, flags: str, every: timedelta = SECOND) -> None:
        """Record one frame per character, each `every` later than the last; x is flagged."""
        rows = []
        for flag in flags:
            self.clock.now += every
            rows.append(a_verdict(self.sets[name], at=self.clock.now, decision="flag" if flag == "x" else "pass"))
        with self.database.begin() as session:
            verdicts.record(session, rows)

    def monitor(self, disk_usages: Callable[[], Sequence[DiskUsage]] = tuple) -> AlertMonitor:
        return AlertMonitor(self.database, self.clock, disk_usages)

    def all_alerts(self) -> list[Alert]:
        with self.database.read() as session:
            return list(reversed(alerts.recent(session)))

    def id_of(self, name: str) -> int:
        return self.sets[name].station_id


@pytest.fixture
def line(database: Database) -> Line:
    return Line(database)


def test_an_alert_opens_once_and_is_resolved_once(line: Line) -> None:
    monitor = line.monitor()
    monitor.run_round()
    line.decide("s1", "xxxxx")
    assert [alert.rule for alert in monitor.run_round().opened] == ["consecutive"]
    line.decide("s1", "x")
    assert monitor.run_round() == MonitorRound(unresolved=1)
    line.decide("s1", ".....")
    assert [alert.rule for alert in monitor.run_round().resolved] == ["consecutive"]
    line.decide("s1", ".....")
    assert monitor.run_round() == MonitorRound()
    (alert,) = line.all_alerts()
    assert (alert.station_id, alert.state, alert.resolved_by) == (line.id_of("s1"), "resolved", None)


def test_a_watch_that_is_started_anew_in_each_round_decides_the_same(line: Line) -> None:
    for flags in ("xxxxx", "x", ".....", ".....", "xxxxx", ".", "....."):
        line.decide("s1", flags)
        line.monitor().run_round()
    assert [(alert.rule, alert.state) for alert in line.all_alerts()] == [("consecutive", "resolved")] * 2


def test_two_watches_at_once_open_one_alert(line: Line) -> None:
    first, second = line.monitor(), line.monitor()
    line.decide("s1", "xxxxx")
    threads = [threading.Thread(target=monitor.run_round) for monitor in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(line.all_alerts()) == 1


def test_what_a_person_resolved_stays_resolved_until_it_happens_again(line: Line) -> None:
    monitor = line.monitor()
    line.decide("s1", "xxxxx.")
    (alert,) = monitor.run_round().opened
    with line.database.begin() as session:
        alerts.resolve(session, alert.id, "ada", line.clock.now)
    assert monitor.run_round() == MonitorRound()
    line.decide("s1", "xxxx")
    assert monitor.run_round() == MonitorRound()
    line.decide("s1", "x")
    assert len(monitor.run_round().opened) == 1


def test_a_mute_opens_nothing_and_what_happened_in_it_never_does(line: Line) -> None:
    monitor = line.monitor()
    with line.database.begin() as session:
        mutes.mute(session, line.id_of("s1"), line.clock.now + 60 * SECOND, "lamp is changed", "ada", line.clock.now)
        stations.edit(session, "s1", StationSettings(stale_after_s=300))
    line.decide("s1", "xxxxxxx")
    line.decide("s2", "xxxxx")
    assert [alert.station_id for alert in monitor.run_round().opened] == [line.id_of("s2")]
    line.decide("s2", "x" * 49)  # the mute is over
    assert monitor.run_round().opened == ()
    line.decide("s1", "xxxx")
    assert monitor.run_round().opened == ()
    line.decide("s1", "x")
    assert [alert.station_id for alert in monitor.run_round().opened] == [line.id_of("s1")]


def test_a_camera_that_falls_silent_opens_one_alert_within_its_time_and_a_look(line: Line) -> None:
    monitor = line.monitor()
    line.decide("s1", "..")
    opened_after_s = None
    for second in range(1, 50):
        line.decide("s2", ".")
        if monitor.run_round().opened:
            assert opened_after_s is None
            opened_after_s = second
    assert opened_after_s == 31
    line.decide("s1", "..")
    assert [alert.rule for alert in monitor.run_round().resolved] == ["silent_camera"]


def test_a_scorer_that_is_further_with_one_station_than_with_another_makes_no_camera_silent(line: Line) -> None:
    """A scorer that starts late reads 40 s of s2 first; s1's frames of that time wait on the bus."""
    monitor = line.monitor()
    line.decide("s1", "..")
    begun, line.clock.now = line.clock.now, line.clock.now + 40 * SECOND
    with line.database.begin() as session:
        ats = [begun + second * SECOND for second in range(1, 40)]
        rows = [a_verdict(line.sets["s2"], at=at) for at in ats]
        verdicts.record(session, [replace(row, decided_at=line.clock.now) for row in rows])
    assert monitor.run_round().opened == ()
    for _ in range(10):
        line.decide("s2", ".")
        assert monitor.run_round().opened == ()
    line.decide("s2", ".")  # no recent frame has taken long
    assert [alert.station_id for alert in monitor.run_round().opened] == [line.id_of("s1")]


def test_a_line_that_is_all_silent_is_noticed_by_a_scorer_without_work(line: Line) -> None:
    monitor = line.monitor()
    line.decide("s1", "..")
    line.clock.now += 44 * SECOND
    send_heartbeat(line, "running", lag=0)
    assert monitor.run_round().opened == ()  # a scorer may be busy for a while with a lag that is not measured yet
    line.clock.now += 2 * SECOND
    send_heartbeat(line, "running", lag=0)
    assert [alert.rule for alert in monitor.run_round().opened] == ["silent_camera"]


def test_a_dead_scorer_is_one_alert_of_the_line_and_no_silent_camera(line: Line) -> None:
    monitor = line.monitor()
    line.decide("s1", "..")
    line.decide("s2", "..")
    send_heartbeat(line, "running", lag=3)
    for _ in range(40):
        line.clock.now += 5 * SECOND
        monitor.run_round()
    assert [(alert.station_id, alert.rule) for alert in line.all_alerts()] == [(None, "scorer_down")]
    send_heartbeat(line, "running", lag=3)
    assert [alert.rule for alert in monitor.run_round().resolved] == ["scorer_down"]


def test_lag_disks_and_spools_are_alerts_of_the_line(line: Line) -> None:
    monitor = line.monitor(lambda: [DiskUsage("the disk of the images", 95, 100)])
    for number in range(16):
        line.clock.now += 5 * SECOND
        send_heartbeat(line, "running", lag=300 + number)
        monitor.run_round()
    assert sorted(alert.rule for alert in line.all_alerts()) == ["disk_nearly_full", "growing_lag"]


def test_channels_are_notified_once_when_an_alert_opens_and_once_when_it_is_resolved(line: Line) -> None:
    with line.database.begin() as session:
        channels.add(session, "everybody", "json://localhost", "info", NOON)
        channels.add(session, "night", "json://localhost", "critical", NOON)
    monitor = line.monitor()
    line.decide("s1", "xxxxx")
    monitor.run_round()
    monitor.run_round()
    line.decide("s1", ".....")
    monitor.run_round()
    with line.database.read() as session:
        queued = [(one.event, one.channel_id) for one in notifications.recent(session)]
    assert sorted(queued) == [("opened", 1), ("opened", 2), ("resolved", 1), ("resolved", 2)]


def test_late_frames_are_inserted_in_order_of_capture(line: Line) -> None:
    reader = SnapshotReader()
    line.decide("s1", "...")
    with line.database.read() as session:
        reader.read(session, line.clock.now, ())
    late = [a_verdict(line.sets["s1"], at=NOON + seconds * SECOND) for seconds in (2.5, 0.5, 9)]
    with line.database.begin() as session:
        verdicts.record(session, late)
    with line.database.read() as session:
        cached = reader.read(session, line.clock.now, ()).stations[line.id_of("s1")].frames
        again = SnapshotReader().read(session, line.clock.now, ()).stations[line.id_of("s1")].frames
    assert [frame.captured_at for frame in cached] == sorted(frame.captured_at for frame in cached)
    assert cached == again


def test_the_cache_equals_what_a_new_reader_reads(line: Line) -> None:
    reader = SnapshotReader()
    for _ in range(4):
        line.decide("s1", "..x" * 60)
        line.decide("s2", "." * 30)
        with line.database.read() as session:
            cached, again = (
                reader.read(session, line.clock.now, ()),
                SnapshotReader().read(session, line.clock.now, ()),
            )
        assert cached.stations == again.stations
    assert len(cached.stations[line.id_of("s1")].frames) == MAX_FRAMES


def test_a_station_that_is_added_later_is_watched_too(line: Line) -> None:
    monitor = line.monitor()
    monitor.run_round()
    with line.database.begin() as session:
        line.sets["s3"] = an_active_set(session, stations.add(session, "s3", StationSettings(), NOON))
    line.decide("s3", "xxxxx")
    assert [alert.station_id for alert in monitor.run_round().opened] == [line.id_of("s3")]


def test_a_rule_that_is_set_wrongly_makes_the_watch_say_so_until_it_is_set_right(line: Line) -> None:
    monitor = line.monitor()
    with line.database.begin() as session:
        alert_rules.put(session, AlertRule(None, "k_of_n", {"k": 99}, enabled=True))
    monitor.run_round()
    assert any("k and n" in reason for reason in monitor.health())
    with line.database.begin() as session:
        alert_rules.put(session, AlertRule(None, "k_of_n", {}, enabled=True))
    monitor.run_round()
    assert monitor.health() == []


class Outage(Database):
    """A database that is unavailable while `is_away`."""

    is_away = False

    @contextmanager
    def read(self) -> Iterator[Session]:
        if self.is_away:
            raise StorageUnavailable("The database is away: check that it runs.")
        with super().read() as session:
            yield session


def test_a_database_that_is_away_is_waited_for_and_nothing_is_missed(tmp_path: Path) -> None:
    database = Outage(f"sqlite:///{tmp_path}/andon.db")
    database.upgrade()
    line, stop = Line(database), threading.Event()
    monitor = line.monitor()
    waits: list[float] = []
    opened: list[str] = []

    def wait_for(_: threading.Event, seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 1:
            line.decide("s1", "xxxxx")
            database.is_away = True
        elif len(waits) == 4:
            assert monitor.health() == ["Waiting for the database: The database is away: check that it runs."]
            database.is_away = False
        elif len(waits) == 5:
            stop.set()
        return stop.is_set()

    def on_round(round_: MonitorRound) -> None:
        opened.extend(alert.rule for alert in round_.opened)

    monitor.run(stop, 2.0, on_round, wait_for)
    assert waits == [2.0, 1.0, 2.0, 4.0, 2.0]
    assert opened == ["consecutive"]
    assert monitor.health() == []
    database.close()


def test_an_older_schema_ends_the_watch_with_the_way_out(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/andon.db")
    with pytest.raises(SchemaMismatch, match="andon db upgrade"):
        AlertMonitor(database, Clock()).run(threading.Event(), 1.0)
    database.close()


def send_heartbeat(line: Line, state: Any, lag: int) -> None:
    with line.database.begin() as session:
        workers.heartbeat(session, WorkerStatus("w1", state, "", "nearest-patch", lag, NOON, line.clock.now))


def test_a_station_is_known_by_its_own_settings(line: Line) -> None:
    with line.database.read() as session:
        known: Station = stations.get(session, "s1")
        view = SnapshotReader().read(session, line.clock.now, ()).stations[known.id]
    assert (view.station, view.stale_after_s) == ("s1", 30.0)
