"""The monitor on real databases: one alert per episode, through restarts, outages and mutes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from alerts.monitor.monitor import AlertMonitor, MonitorRound
from alerts.monitor.snapshot_reader import SnapshotReader
from alerts.views import MAX_FRAMES, DiskUsage
from storage.alerts import alert_rules, alert_watch, alerts, channels, mutes, notifications
from storage.alerts.alert_rules import AlertRule
from storage.database.engine import Database
from storage.errors import SchemaMismatch, StorageUnavailable
from storage.line import drops, stations, verdicts, workers
from storage.line.drops import DropReport
from storage.line.stations import Station, StationSettings
from storage.line.workers import WorkerStatus
from testing.clock import ManualClock
from tests.alerts.examples import SECOND
from tests.alerts.monitor.monitored_line import MonitoredLine
from tests.storage.examples import NOON, add_active_set, make_verdict

MINUTE = timedelta(minutes=1)


@pytest.fixture
def line(database: Database) -> MonitoredLine:
    return MonitoredLine(database)


def test_an_alert_opens_once_and_is_resolved_once(line: MonitoredLine) -> None:
    monitor = line.monitor()
    monitor.run_round()
    line.record_verdicts("s1", "xxxxx")
    assert [alert.rule for alert in monitor.run_round().opened] == ["consecutive"]
    line.record_verdicts("s1", "x")
    assert monitor.run_round() == MonitorRound(unresolved=1)
    line.record_verdicts("s1", ".....")
    assert [alert.rule for alert in monitor.run_round().resolved] == ["consecutive"]
    line.record_verdicts("s1", ".....")
    assert monitor.run_round() == MonitorRound()
    (alert,) = line.all_alerts()
    assert (alert.station_id, alert.state, alert.resolved_by) == (line.id_of("s1"), "resolved", None)


def test_a_monitor_restarted_in_every_round_opens_the_same_alerts(line: MonitoredLine) -> None:
    for flags in ("xxxxx", "x", ".....", ".....", "xxxxx", ".", "....."):
        line.record_verdicts("s1", flags)
        line.monitor().run_round()
    assert [(alert.rule, alert.state) for alert in line.all_alerts()] == [("consecutive", "resolved")] * 2


def test_two_concurrent_monitors_open_one_alert(line: MonitoredLine) -> None:
    first, second = line.monitor(), line.monitor()
    line.record_verdicts("s1", "xxxxx")
    threads = [threading.Thread(target=monitor.run_round) for monitor in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(line.all_alerts()) == 1


def test_a_manually_resolved_alert_stays_resolved_until_the_condition_recurs(line: MonitoredLine) -> None:
    monitor = line.monitor()
    line.record_verdicts("s1", "xxxxx.")
    (alert,) = monitor.run_round().opened
    with line.database.begin() as session:
        alerts.resolve(session, alert.id, "ada", line.clock.now)
    assert monitor.run_round() == MonitorRound()
    line.record_verdicts("s1", "xxxx")
    assert monitor.run_round() == MonitorRound()
    line.record_verdicts("s1", "x")
    assert len(monitor.run_round().opened) == 1


def test_frames_of_a_muted_period_never_open_an_alert(line: MonitoredLine) -> None:
    monitor = line.monitor()
    with line.database.begin() as session:
        mutes.mute(session, line.id_of("s1"), line.clock.now + 60 * SECOND, "lamp is changed", "ada", line.clock.now)
        stations.edit(session, "s1", StationSettings(stale_after_s=300))
    line.record_verdicts("s1", "xxxxxxx")
    line.record_verdicts("s2", "xxxxx")
    assert [alert.station_id for alert in monitor.run_round().opened] == [line.id_of("s2")]
    line.record_verdicts("s2", "x" * 49)  # the mute is over
    assert monitor.run_round().opened == ()
    line.record_verdicts("s1", "xxxx")
    assert monitor.run_round().opened == ()
    line.record_verdicts("s1", "x")
    assert [alert.station_id for alert in monitor.run_round().opened] == [line.id_of("s1")]


def test_a_silent_camera_opens_one_alert_after_its_time_limit(line: MonitoredLine) -> None:
    monitor = line.monitor()
    line.record_verdicts("s1", "..")
    opened_after_s = None
    for second in range(1, 50):
        line.record_verdicts("s2", ".")
        if monitor.run_round().opened:
            assert opened_after_s is None
            opened_after_s = second
    assert opened_after_s == 31
    line.record_verdicts("s1", "..")
    assert [alert.rule for alert in monitor.run_round().resolved] == ["silent_camera"]


def test_uneven_scorer_progress_makes_no_camera_silent(line: MonitoredLine) -> None:
    """A scorer that starts late reads 40 s of s2 first; s1's frames of that time wait on the bus."""
    monitor = line.monitor()
    line.record_verdicts("s1", "..")
    started_at, line.clock.now = line.clock.now, line.clock.now + 40 * SECOND
    with line.database.begin() as session:
        captured_at = [started_at + second * SECOND for second in range(1, 40)]
        rows = [make_verdict(line.normal_sets["s2"], at=at) for at in captured_at]
        verdicts.record(session, [replace(row, decided_at=line.clock.now) for row in rows])
    assert monitor.run_round().opened == ()
    for _ in range(10):
        line.record_verdicts("s2", ".")
        assert monitor.run_round().opened == ()
    line.record_verdicts("s2", ".")  # no recent frame has taken long
    assert [alert.station_id for alert in monitor.run_round().opened] == [line.id_of("s1")]


def test_a_silent_line_is_detected_while_the_scorer_is_idle(line: MonitoredLine) -> None:
    monitor = line.monitor()
    line.record_verdicts("s1", "..")
    line.clock.now += 44 * SECOND
    send_heartbeat(line, "running", lag=0)
    assert monitor.run_round().opened == ()  # a scorer may be busy for a while with a lag that is not measured yet
    line.clock.now += 2 * SECOND
    send_heartbeat(line, "running", lag=0)
    assert [alert.rule for alert in monitor.run_round().opened] == ["silent_camera"]


def test_a_dead_scorer_opens_one_alert_of_the_line_and_no_silent_camera(line: MonitoredLine) -> None:
    monitor = line.monitor()
    line.record_verdicts("s1", "..")
    line.record_verdicts("s2", "..")
    send_heartbeat(line, "running", lag=3)
    for _ in range(40):
        line.clock.now += 5 * SECOND
        monitor.run_round()
    assert [(alert.station_id, alert.rule) for alert in line.all_alerts()] == [(None, "scorer_down")]
    send_heartbeat(line, "running", lag=3)
    assert [alert.rule for alert in monitor.run_round().resolved] == ["scorer_down"]


def test_lag_and_full_disks_open_alerts_of_the_line(line: MonitoredLine) -> None:
    monitor = line.monitor(lambda: [DiskUsage("the disk of the images", 95, 100)])
    for number in range(16):
        line.clock.now += 5 * SECOND
        send_heartbeat(line, "running", lag=300 + number)
        monitor.run_round()
    assert sorted(alert.rule for alert in line.all_alerts()) == ["disk_nearly_full", "growing_lag"]


def test_frames_deleted_unread_open_one_alert_of_the_line_however_often_they_are_reported(line: MonitoredLine) -> None:
    monitor = line.monitor()
    at = line.clock.now
    for frames in (5, 7):
        report = DropReport(UUID(int=1), drops.NO_STATION, drops.DELETED_UNREAD, frames, at, line.clock.now)
        with line.database.begin() as session:
            drops.record(session, [report])
        for _ in range(13):
            send_heartbeat(line, "running", lag=0)
            monitor.run_round()
            line.clock.now += 5 * SECOND
    (alert,) = line.all_alerts()
    assert (alert.station_id, alert.rule, alert.severity) == (None, "deleted_unread", "critical")
    assert alert.evidence == {"frames": 7}
    line.clock.now += 3600 * SECOND
    send_heartbeat(line, "running", lag=0)
    assert [each.rule for each in monitor.run_round().resolved] == ["deleted_unread"]


def test_channels_are_notified_once_when_an_alert_opens_and_once_when_it_is_resolved(line: MonitoredLine) -> None:
    with line.database.begin() as session:
        channels.add(session, "everybody", "json://localhost", "info", NOON)
        channels.add(session, "night", "json://localhost", "critical", NOON)
    monitor = line.monitor()
    line.record_verdicts("s1", "xxxxx")
    monitor.run_round()
    monitor.run_round()
    line.record_verdicts("s1", ".....")
    monitor.run_round()
    with line.database.read() as session:
        queued = [(one.event, one.channel_id) for one in notifications.recent(session)]
    assert sorted(queued) == [("opened", 1), ("opened", 2), ("resolved", 1), ("resolved", 2)]


def test_frames_are_in_order_of_arrival_whatever_their_time_of_capture(line: MonitoredLine) -> None:
    reader = SnapshotReader()
    line.record_verdicts("s1", "...")
    with line.database.read() as session:
        reader.read(session, line.clock.now, ())
    late = [make_verdict(line.normal_sets["s1"], at=NOON + seconds * SECOND) for seconds in (2.5, 0.5, 9)]
    with line.database.begin() as session:
        verdicts.record(session, late)
    with line.database.read() as session:
        cached = reader.read(session, line.clock.now, ()).stations[line.id_of("s1")].frames
        uncached = SnapshotReader().read(session, line.clock.now, ()).stations[line.id_of("s1")].frames
    assert [frame.captured_at for frame in cached[3:]] == [verdict.captured_at for verdict in late]
    assert cached == uncached


def test_the_cache_equals_the_result_of_a_new_reader(line: MonitoredLine) -> None:
    reader = SnapshotReader()
    for _ in range(4):
        line.record_verdicts("s1", "..x" * 60)
        line.record_verdicts("s2", "." * 30)
        with line.database.read() as session:
            cached, uncached = (
                reader.read(session, line.clock.now, ()),
                SnapshotReader().read(session, line.clock.now, ()),
            )
        assert cached.stations == uncached.stations
    assert len(cached.stations[line.id_of("s1")].frames) == MAX_FRAMES


def test_a_station_added_later_is_monitored(line: MonitoredLine) -> None:
    monitor = line.monitor()
    monitor.run_round()
    with line.database.begin() as session:
        line.normal_sets["s3"] = add_active_set(session, stations.add(session, "s3", StationSettings(), NOON))
    line.record_verdicts("s3", "xxxxx")
    assert [alert.station_id for alert in monitor.run_round().opened] == [line.id_of("s3")]


def test_an_invalid_rule_makes_the_monitor_unhealthy_until_it_is_corrected(line: MonitoredLine) -> None:
    monitor = line.monitor()
    with line.database.begin() as session:
        alert_rules.put(session, AlertRule(None, "k_of_n", {"k": 99}, enabled=True))
    monitor.run_round()
    assert any("k and n" in reason for reason in monitor.health())
    with line.database.begin() as session:
        alert_rules.put(session, AlertRule(None, "k_of_n", {}, enabled=True))
    monitor.run_round()
    assert monitor.health() == []


class InterruptibleDatabase(Database):
    """A database that is unavailable while `is_away`."""

    is_unavailable = False

    @contextmanager
    def read(self) -> Iterator[Session]:
        if self.is_unavailable:
            raise StorageUnavailable("The database is away: check that it runs.")
        with super().read() as session:
            yield session


def test_the_monitor_waits_for_an_unavailable_database_and_misses_nothing(tmp_path: Path) -> None:
    database = InterruptibleDatabase(f"sqlite:///{tmp_path}/andon.db")
    database.upgrade()
    line, stop = MonitoredLine(database), threading.Event()
    monitor = line.monitor()
    waits: list[float] = []
    opened: list[str] = []

    def wait_for(_: threading.Event, seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 1:
            line.record_verdicts("s1", "xxxxx")
            database.is_unavailable = True
        elif len(waits) == 4:
            assert len(monitor.health()) == 1
            database.is_unavailable = False
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


def test_an_outdated_schema_stops_the_monitor_and_names_the_upgrade_command(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/andon.db")
    with pytest.raises(SchemaMismatch, match="andon db upgrade"):
        AlertMonitor(database, ManualClock(NOON)).run(threading.Event(), 1.0)
    database.close()


def send_heartbeat(line: MonitoredLine, state: Any, lag: int) -> None:
    with line.database.begin() as session:
        workers.heartbeat(session, WorkerStatus("w1", state, "", "nearest-patch", lag, NOON, line.clock.now))


def test_a_station_view_has_the_settings_of_its_station(line: MonitoredLine) -> None:
    with line.database.read() as session:
        station: Station = stations.get(session, "s1")
        view = SnapshotReader().read(session, line.clock.now, ()).stations[station.id]
    assert (view.station, view.stale_after_s) == ("s1", 30.0)


def test_of_two_monitors_with_a_name_one_evaluates_and_the_other_follows_when_it_stops(line: MonitoredLine) -> None:
    first = AlertMonitor(line.database, line.clock, watcher="w1")
    second = AlertMonitor(line.database, line.clock, watcher="w2")
    evaluated: list[str] = []

    def run_once(monitor: AlertMonitor, name: str) -> None:
        def stop_at_once(event: threading.Event, _: float) -> bool:
            event.set()
            return True

        monitor.run(threading.Event(), 1.0, lambda _: evaluated.append(name), stop_at_once)

    for _ in range(3):
        run_once(first, "w1")
        run_once(second, "w2")
        line.clock.now += timedelta(seconds=2)
    assert evaluated == ["w1", "w1", "w1"]
    line.clock.now += alert_watch.LEASE
    run_once(second, "w2")
    run_once(first, "w1")
    assert evaluated == ["w1", "w1", "w1", "w2"]
