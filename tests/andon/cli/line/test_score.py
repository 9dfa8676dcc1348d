"""`andon score` as a supervisor sees it: metrics, health, a clean stop, and dead letters for bad frames."""

import json
import signal
from pathlib import Path

import pytest

from testing.command_line import Andon, Start, get, get_until
from testing.images import png
from testing.ports import free_port


@pytest.fixture
def dataset(workplace: Path, good_folder: Path, andon: Andon) -> Path:
    """Station s1 with an active normal set, and a dataset of three good images and a bad file."""
    andon("station", "add", "s1")
    assert andon("normals", "add", "s1", good_folder, "--activate").code == 0
    images = workplace / "parts" / "test" / "good"
    images.mkdir(parents=True)
    for number in range(3):
        (images / f"part{number}.png").write_bytes(png(100 + number))
    (images / "part3.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    return workplace / "parts"


def test_a_corrupt_frame_becomes_a_dead_letter_again_when_it_is_replayed(andon: Andon, dataset: Path) -> None:
    andon("produce", "s1", "--source", f"replay:{dataset}")
    scored = andon("score", "--drain")
    assert (scored.code, scored.out.startswith("3 verdicts, ")) == (0, True)
    (first,) = json.loads(andon("dead-letters", "list", "--json").out)
    assert (first["station"], first["reason"]) == ("s1", "corrupt-image")
    assert andon("dead-letters", "replay", "--all").code == 0
    assert andon("score", "--drain").code == 0
    (second,) = json.loads(andon("dead-letters", "list", "--json").out)
    assert second["id"] != first["id"]
    assert second["payload_reference"] == first["payload_reference"]
    assert len(json.loads(andon("verdicts", "--json").out)) == 3


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_the_scorer_serves_metrics_and_stops_cleanly(
    signal_number: signal.Signals, andon: Andon, start_andon: Start, dataset: Path
) -> None:
    andon("produce", "s1", "--source", f"replay:{dataset}")
    port = free_port()
    worker = start_andon("score", "--metrics-port", port)
    text = get_until(port, "/metrics", 'andon_dead_letters_total{reason="corrupt-image"} 1.0')
    assert 'andon_verdicts_total{decision="' in text
    assert get(port, "/healthz") == (200, "ok\n")
    worker.send_signal(signal_number)
    out, err = worker.communicate(timeout=90)
    assert worker.returncode == 0
    assert out.startswith("3 verdicts, ")
    assert "Stopping: " in err
    assert "Traceback" not in err


def test_the_scorer_waits_for_an_unavailable_database_and_healthz_reports_it(
    start_andon: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("ANDON_STORAGE__DATABASE_URL", f"postgresql+psycopg://andon@127.0.0.1:{free_port()}/andon")
    worker = start_andon("score", "--metrics-port", port)
    get_until(port, "/healthz", "Waiting for the database")
    assert get(port, "/healthz")[0] == 503
    assert get(port, "/readyz")[0] == 503
    assert get(port, "/livez") == (200, "ok\n")  # or a supervisor would restart every scorer in an outage
    worker.send_signal(signal.SIGTERM)
    _, err = worker.communicate(timeout=90)
    assert worker.returncode == 0
    assert "Traceback" not in err


def test_an_unknown_detector_is_refused_by_name(andon: Andon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDON_SCORER__DETECTOR", "crystal-ball")
    finished = andon("score", "--drain")
    assert finished.code == 1
    assert "crystal-ball" in finished.err.splitlines()[-1]
