"""`andon dashboard`: Streamlit as a child process, supervised and measured by its parent."""

import signal
import socket
from contextlib import closing
from datetime import UTC, datetime

from andon.errors import PortInUse
from storage.database.engine import Database
from storage.line import dead_letters, stations
from storage.line.dead_letters import DeadLetter
from testing.command_line import Andon, Start, get
from testing.ports import free_port


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
