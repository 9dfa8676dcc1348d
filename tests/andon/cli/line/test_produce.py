"""`andon produce` as a person and a supervisor see it: counts, clean stops, metrics, an unavailable bus."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ingest.bus.protocol import readable
from ingest.bus.registry import open_bus
from ingest.schema import decode
from ingest.settings import IngestSettings
from testing.command_line import Andon, Start, get, get_until
from testing.ports import free_port


@pytest.fixture
def dataset(workplace: Path, good_folder: Path) -> Path:
    """Eight images in MVTec layout, where replay finds them."""
    (workplace / "parts" / "test").mkdir(parents=True)
    good_folder.rename(workplace / "parts" / "test" / "good")
    return workplace / "parts"


def published_stations() -> list[str]:
    settings = IngestSettings()
    with closing(open_bus(settings)) as bus, closing(bus.consumer(settings.topic, "counting")) as consumer:
        return [decode(record).station for record in readable(consumer.poll(max_records=1000, timeout_s=2.0))]


def test_a_replayed_dataset_is_published_up_to_the_limit(andon: Andon, dataset: Path) -> None:
    andon("station", "add", "s1")
    assert andon("produce", "s1", "--source", f"replay:{dataset}", "--limit", "5").out == "5 frames of s1 published.\n"
    assert published_stations() == ["s1"] * 5


def test_an_unchecked_producer_needs_no_database(andon: Andon, dataset: Path) -> None:
    produced = andon("produce", "s1", "--source", f"replay:{dataset}", "--limit", "2", "--unchecked")
    assert (produced.code, produced.out) == (0, "2 frames of s1 published.\n")
    assert not Path(".andon/andon.db").exists()


def test_an_unchecked_name_cannot_leave_the_spool_folder(andon: Andon, dataset: Path) -> None:
    refused = andon("produce", "../s1", "--source", f"replay:{dataset}", "--unchecked")
    assert refused.code == 1
    assert "'../s1'" in refused.err
    assert not Path(".andon/spool").exists() or list(Path(".andon/spool").iterdir()) == []


def test_an_unavailable_database_does_not_stop_a_producer_from_starting(
    andon: Andon, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANDON_STORAGE__DATABASE_URL", "postgresql+psycopg://andon@127.0.0.1:1/andon")
    produced = andon("produce", "s1", "--source", f"replay:{dataset}", "--limit", "2")
    assert (produced.code, produced.out) == (0, "2 frames of s1 published.\n")
    assert "postgresql+psycopg://andon@127.0.0.1:1/andon" in produced.err


def test_frames_stay_in_the_spool_while_the_bus_is_unavailable(
    andon: Andon, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    andon("station", "add", "s1")
    monkeypatch.setenv("ANDON_INGEST__BUS", "kafka")
    monkeypatch.setenv("ANDON_INGEST__KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv("ANDON_INGEST__KAFKA_UNAVAILABLE_AFTER_S", "1")
    spooled = andon("produce", "s1", "--source", f"replay:{dataset}", "--limit", "3")
    assert spooled.code == 1
    assert "3 frames wait in the spool" in spooled.err.splitlines()[-1]
    monkeypatch.delenv("ANDON_INGEST__BUS")
    assert andon("produce", "s1", "--source", f"replay:{dataset}", "--limit", "1").code == 0
    assert len(published_stations()) == 4


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_producer_cleanly_without_losing_frames(
    signal_number: signal.Signals, andon: Andon, start_andon: Start, dataset: Path
) -> None:
    andon("station", "add", "s1")
    port = free_port()
    process = start_andon("produce", "s1", "--source", "simulated:brick", "--rate", "50", "--metrics-port", port)
    get_until(port, "/metrics", 'andon_frames_published_total{station="s1"}')
    assert get(port, "/healthz") == (200, "ok\n")
    process.send_signal(signal_number)
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0
    assert "Stopping: " in err
    assert "Traceback" not in err
    published = int(out.split()[0])
    assert published > 0
    assert len(published_stations()) == published


def test_a_metrics_port_in_use_is_refused_by_name(andon: Andon, dataset: Path) -> None:
    andon("station", "add", "s1")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refused = andon("produce", "s1", "--source", f"replay:{dataset}", "--metrics-port", port)
    assert refused.code == 1
    assert f"127.0.0.1:{port}" in refused.err


@pytest.mark.parametrize("arguments", [("config",), ("station", "show", "s1")])
def test_a_closed_output_pipe_is_not_reported(arguments: tuple[str, ...], andon: Andon) -> None:
    andon("station", "add", "s1")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        finished = subprocess.run(
            [sys.executable, "-m", "andon", *arguments],
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=150,
            check=False,
        )
    finally:
        os.close(writing)
    assert finished.stderr == b""
