"""`andon dashboard`: Streamlit as a child process, supervised and measured by its parent."""

import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

import pytest

from andon.errors import CommandFailed, PortInUse
from andon.services.dashboard_process import require_users
from dashboard.app.settings import DashboardSettings
from storage.auth import users
from storage.auth.actors import Role
from storage.database.engine import Database
from storage.line import dead_letters, stations
from storage.line.dead_letters import DeadLetter
from testing.command_line import Andon, Start, get
from testing.ports import free_port


@pytest.fixture
def database_of_workplace(andon: Andon) -> Iterator[Database]:
    assert andon("station", "list").code == 0  # which makes the database
    with closing(Database("sqlite:///.andon/andon.db")) as database:
        yield database


def test_the_dashboard_and_its_metrics_are_served_until_sigterm(andon: Andon, start_andon: Start) -> None:
    andon("station", "add", "s1")
    with closing(Database("sqlite:///.andon/andon.db")) as database, database.begin() as session:
        station = stations.get(session, "s1")
        assert station.name == "s1"
        now = datetime.now(UTC)
        letter = DeadLetter(None, "t", 0, 0, "no-image", "e", None, None, (), "sha256:" + "0" * 64, 0, now, None)
        dead_letters.record(session, [letter])
    page, metrics = free_port(), free_port()
    process = start_andon("dashboard", "--port", page, "--metrics-port", metrics)
    assert get(page, "/_stcore/health") == (200, "ok")
    assert get(metrics, "/healthz") == (200, "ok\n")
    _, text = get(metrics, "/metrics")
    assert "andon_database_up 1.0" in text
    assert "andon_dead_letters_pending 1.0" in text
    assert 'andon_station_parked_frames{station="s1"} 0.0' in text
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=90)
    assert process.returncode == 0
    assert f"http://127.0.0.1:{page}" in err
    assert "Traceback" not in err
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", page)) != 0


def test_a_port_in_use_is_refused_before_streamlit_starts(andon: Andon) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        finished = andon("dashboard", "--port", other.getsockname()[1])
    assert isinstance(finished.error, PortInUse)
    assert len(finished.err.splitlines()) == 1


def test_without_a_user_the_network_is_refused_unless_that_is_meant(
    andon: Andon, database_of_workplace: Database
) -> None:
    open_to_all = DashboardSettings(host="0.0.0.0")
    with pytest.raises(CommandFailed):
        require_users(open_to_all, database_of_workplace)
    for settings in (DashboardSettings(), open_to_all.model_copy(update={"allow_anybody": True})):
        require_users(settings, database_of_workplace)
    with database_of_workplace.begin() as session:
        users.add(session, "ada", Role.ADMIN, "correct horse battery", datetime.now(UTC))
    require_users(open_to_all, database_of_workplace)


def test_the_command_ends_before_the_port_is_open(andon: Andon) -> None:
    port = free_port()
    finished = andon("dashboard", "--host", "0.0.0.0", "--port", port)
    assert isinstance(finished.error, CommandFailed)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
