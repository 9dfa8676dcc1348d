"""Alerts, KPIs and the shift report on the command line, with the same rights and audit log as the pages."""

import csv
import io
import json
import re
import signal
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alerts.errors import InvalidParameters, NotificationFailed, UnknownRule
from andon.cli.results import alert_rules, channels, kpi
from andon.cli.results import alerts as commands
from storage.alerts import alerts
from storage.alerts.mutes import current
from storage.auth import audit_log, users
from storage.auth.actors import Role
from storage.database.engine import Database
from storage.errors import NotFound, PermissionDenied
from storage.line import stations, verdicts
from storage.line.stations import StationSettings
from testing.command_line import Andon, Start, get_until
from testing.ports import free_port
from tests.alerts.notification.fake_services import Webhook, running
from tests.storage.examples import add_active_set, make_verdict

NOW = datetime.now(UTC)


@pytest.fixture
def database(andon: Andon, workplace: Path) -> Database:
    """A station with twelve frames captured in the last minutes, four of them flagged, and one open alert."""
    andon("db", "upgrade")
    database = Database(f"sqlite:///{workplace / '.andon' / 'andon.db'}")
    with closing(database), database.begin() as session:
        station = stations.add(session, "s1", StationSettings(), NOW)
        active = add_active_set(session, station)
        batch = [
            make_verdict(active, at=NOW - timedelta(seconds=20 - number), decision="flag" if number < 4 else "pass")
            for number in range(12)
        ]
        verdicts.record(session, batch)
        alerts.open_episode(session, station.id, "flagged_share", "warning", "60 of 99 flagged.", {"flagged": 60}, NOW)
    return database


def test_an_alert_is_listed_acknowledged_and_resolved(andon: Andon, database: Database) -> None:
    (listed,) = json.loads(andon("alerts", "list", "--json").out)
    assert tuple(listed) == commands.KEYS
    assert (listed["station"], listed["state"], listed["evidence"]) == ("s1", "opened", {"flagged": 60})
    assert "is acknowledged by" in andon("alerts", "ack", listed["id"], "--note", "cable").out
    assert "acknowledged" in andon("alerts", "list").out
    assert andon("alerts", "resolve", listed["id"]).code == 0
    no_alert = andon("alerts", "list")
    assert (no_alert.code, no_alert.out) == (0, "")
    (resolved,) = json.loads(andon("alerts", "list", "--all", "--json").out)
    assert (resolved["state"], resolved["note"]) == ("resolved", "cable")
    with closing(database), database.read() as session:
        assert [entry.action for entry in audit_log.list_entries(session)] == ["alert.resolve", "alert.acknowledge"]


def test_an_unknown_alert_is_an_error_that_names_it(andon: Andon, database: Database) -> None:
    failed = andon("alerts", "ack", 99)
    assert isinstance(failed.error, NotFound)
    assert "99" in failed.err


def test_a_station_is_muted_with_a_reason_and_a_duration(andon: Andon, database: Database) -> None:
    assert andon("alerts", "mute", "s1").code == 2
    assert andon("alerts", "mute", "s1", "--for", "soon", "--reason", "lamp").code == 2
    assert re.match(r"s1 is muted until \d{4}-", andon("alerts", "mute", "s1", "--for", "2h", "--reason", "lamp").out)
    with closing(database), database.read() as session:
        mute = current(session, 1, datetime.now(UTC))
        assert mute is not None
        assert timedelta(hours=1, minutes=59) < mute.until_at - datetime.now(UTC) <= timedelta(hours=2)
    assert "s1 is muted until" in andon("alerts", "list").err
    assert andon("alerts", "unmute", "s1").code == 0
    with closing(database), database.read() as session:
        assert current(session, 1, datetime.now(UTC)) is None
    assert andon("alerts", "unmute", "s1").code == 0


def test_rules_are_listed_and_set_for_one_station(andon: Andon, database: Database) -> None:
    assert andon("alerts", "set", "k_of_n", "k=4", "--station", "s1").code == 0
    assert andon("alerts", "set", "western_electric", "--on").code == 0

    def rules_of(*station: str) -> dict[str, dict[str, object]]:
        rows = json.loads(andon("alerts", "rules", *station, "--json").out)
        assert all(tuple(row) == alert_rules.KEYS for row in rows)
        return {row["rule"]: row for row in rows}

    assert rules_of("s1")["k_of_n"]["parameters"] == {"k": 4, "n": 10, "clear": 2}
    assert rules_of()["k_of_n"]["parameters"] == {"k": 6, "n": 10, "clear": 2}
    assert rules_of("s1")["western_electric"]["on"] is True
    assert rules_of()["consecutive"]["on"] is True


def test_a_rule_with_invalid_parameters_is_refused_and_not_stored(andon: Andon, database: Database) -> None:
    assert isinstance(andon("alerts", "set", "k_of_n", "k=40").error, InvalidParameters)
    assert isinstance(andon("alerts", "set", "moon_phase").error, UnknownRule)
    assert andon("alerts", "set", "k_of_n", "k").code == 2
    parameters = {rule["rule"]: rule["parameters"] for rule in json.loads(andon("alerts", "rules", "--json").out)}
    assert parameters["k_of_n"]["k"] == 6


def test_a_channel_is_read_from_stdin_tested_and_never_shown(
    andon: Andon, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = Webhook()
    with running(webhook):
        monkeypatch.setattr("sys.stdin", io.StringIO(f"json://127.0.0.1:{webhook.port}/s3cr3t\n"))
        added = andon("alerts", "channel", "add", "hook")
        tested = andon("alerts", "test", "hook")
    assert (added.code, tested.out) == (0, "A test message went to hook.\n")
    assert webhook.paths == ["/s3cr3t"]
    all_output = added.out + tested.out + andon("alerts", "channel", "list").out + andon("audit", "--json").out
    assert "s3cr3t" not in all_output
    (channel,) = json.loads(andon("alerts", "channel", "list", "--json").out)
    assert tuple(channel) == channels.KEYS
    failed = andon("alerts", "test", "hook")  # the service has stopped
    assert isinstance(failed.error, NotificationFailed)
    assert "s3cr3t" not in failed.err
    assert andon("alerts", "channel", "set", "hook", "--off").code == 0
    assert andon("alerts", "channel", "remove", "hook").code == 0


def test_commands_check_permissions(andon: Andon, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(database), database.begin() as session:
        for name, role in (("root", Role.ADMIN), ("vera", Role.VIEWER)):
            users.add(session, name, role, "a-long-pass-phrase", NOW)
    assert "ANDON_USER" in andon("alerts", "ack", 1).err
    monkeypatch.setenv("ANDON_USER", "vera")
    monkeypatch.setenv("ANDON_PASSWORD", "a-long-pass-phrase")
    failed = andon("alerts", "ack", 1)
    assert failed.code == 1
    assert isinstance(failed.error, PermissionDenied)
    assert andon("alerts", "list", "--json").code == 0


def test_kpis_are_written_as_a_table_json_and_csv(andon: Andon, database: Database) -> None:
    (row,) = json.loads(andon("kpi", "--since", "1h", "--json").out)
    assert tuple(row) == kpi.KEYS
    assert (row["station"], row["frames"], row["flagged"], row["flagged_ppm"]) == ("s1", 12, 4, 1_000_000 / 3)
    assert row["escape_rate"] is None
    assert "66.67%" in andon("kpi").out
    (row_of_csv,) = csv.DictReader(io.StringIO(andon("kpi", "--by", "shift", "--since", "1h", "--csv").out))
    assert (row_of_csv["frames"], row_of_csv["escape_rate"]) == ("12", "")
    assert andon("kpi", "--since", "0s").out == ""
    assert "s9" in andon("kpi", "--station", "s9").err


def test_the_shift_report_is_written_to_a_file_or_to_stdout(andon: Andon, database: Database, workplace: Path) -> None:
    report = andon("report", "shift", "--output", workplace / "shift.html")
    assert (report.code, report.out) == (0, "")
    assert (workplace / "shift.html").read_text().startswith("<!doctype html>")
    assert "60 of 99 flagged." in andon("report", "shift").out
    failed = andon("report", "shift", "--output", workplace / "nowhere" / "shift.html")
    assert failed.code == 1
    assert "shift.html" in failed.err


@pytest.mark.parametrize("interval", ["--interval", "--every"])
def test_the_alert_monitor_reports_health_serves_metrics_and_stops_cleanly(
    start_andon: Start, andon: Andon, database: Database, interval: str
) -> None:
    port = free_port()
    monitor = start_andon("alerts", "watch", interval, 0.2, "--metrics-port", port)
    metrics = get_until(port, "/metrics", "andon_alerts_open{")
    assert 'andon_alerts_open{rule="flagged_share",station="s1"} 1.0' in metrics
    assert get_until(port, "/healthz", "ok")
    monitor.send_signal(signal.SIGTERM)
    _, err = monitor.communicate(timeout=60)
    assert monitor.returncode == 0, err
