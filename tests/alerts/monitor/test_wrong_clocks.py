"""Wrong clocks of cameras and of the computers that publish neither hide an alert nor resolve one."""

from dataclasses import replace
from datetime import timedelta

import pytest

from alerts.monitor.monitor import MonitorRound
from storage.database.engine import Database
from storage.line import verdicts
from tests.alerts.examples import SECOND
from tests.alerts.monitor.monitored_line import MonitoredLine
from tests.alerts.monitor.test_monitor import send_heartbeat
from tests.storage.examples import make_verdict


@pytest.fixture
def line(database: Database) -> MonitoredLine:
    return MonitoredLine(database)


@pytest.mark.parametrize("ahead", [timedelta(hours=3), timedelta(days=1), timedelta(seconds=50), -timedelta(hours=2)])
@pytest.mark.parametrize("whose", ["camera", "computer"])
def test_a_wrong_clock_does_not_silence_the_alarm_for_a_silent_camera(
    line: MonitoredLine, ahead: timedelta, whose: str
) -> None:
    """One frame is stamped wrongly, by the camera or by the computer that publishes; then no frame comes."""
    monitor = line.monitor()
    record_stamped(line, "s1", ".", ahead, whose)
    line.record_verdicts("s1", "..")
    opened = []
    for second in range(1, 50):
        line.record_verdicts("s2", ".")
        opened += [second for alert in monitor.run_round().opened if alert.rule == "silent_camera"]
    assert opened == [31]


@pytest.mark.parametrize("ahead", [-timedelta(hours=2), timedelta(hours=3), timedelta(days=1)])
def test_a_computer_whose_clock_is_always_wrong_is_not_silent_while_it_sends_and_is_when_it_stops(
    line: MonitoredLine, ahead: timedelta
) -> None:
    monitor = line.monitor()
    opened = []
    for second in range(40):
        if second < 20:
            record_stamped(line, "s1", ".", ahead, "computer")
        line.record_verdicts("s2", ".")
        send_heartbeat(line, "running", lag=3)
        opened += [second for alert in monitor.run_round().opened if alert.rule == "silent_camera"]
    assert opened == []
    for second in range(40, 60):
        line.record_verdicts("s2", ".")
        send_heartbeat(line, "running", lag=3)
        opened += [second for alert in monitor.run_round().opened if alert.rule == "silent_camera"]
    assert opened == [49]  # s2's second 49 is the 31st after the last frame of s1


def test_frames_stamped_tomorrow_resolve_no_alert_of_today(line: MonitoredLine) -> None:
    monitor = line.monitor()
    record_stamped(line, "s1", "......", timedelta(days=1), "camera")
    line.record_verdicts("s1", "xxxxx")
    assert [alert.rule for alert in monitor.run_round().opened] == ["consecutive"]
    line.record_verdicts("s1", "x")
    assert monitor.run_round() == MonitorRound(unresolved=1)
    line.record_verdicts("s1", ".....")
    assert [alert.rule for alert in monitor.run_round().resolved] == ["consecutive"]


def test_a_time_that_can_not_be_true_is_alarmed_until_ten_can(line: MonitoredLine) -> None:
    monitor = line.monitor()
    line.clock.now += SECOND
    stamped = line.clock.now + timedelta(hours=3)
    with line.database.begin() as session:
        verdict = make_verdict(line.normal_sets["s1"], at=line.clock.now)
        verdicts.record(session, [replace(verdict, stamped_at=stamped)])
    (alert,) = monitor.run_round().opened
    assert (alert.rule, alert.severity, alert.evidence["stamped_at"]) == ("wrong_clock", "warning", stamped.isoformat())
    line.record_verdicts("s1", "." * 9)
    assert monitor.run_round() == MonitorRound(unresolved=1)
    line.record_verdicts("s1", ".")
    assert [alert.rule for alert in monitor.run_round().resolved] == ["wrong_clock"]


def record_stamped(line: MonitoredLine, name: str, flags: str, ahead: timedelta, whose: str) -> None:
    """Record frames whose times of capture, or of publishing too, are wrong by `ahead`."""
    rows = []
    for flag in flags:
        line.clock.now += SECOND
        row = make_verdict(line.normal_sets[name], at=line.clock.now, decision="flag" if flag == "x" else "pass")
        wrong = line.clock.now + ahead
        rows.append(replace(row, captured_at=wrong, published_at=wrong if whose == "computer" else row.published_at))
    with line.database.begin() as session:
        verdicts.record(session, rows)
