"""`andon score` as a supervisor sees it: metrics, health, a clean stop, and dead letters for bad frames."""

import json
import signal
from pathlib import Path

import pytest

from testing.command_line import Andon, Start, free_port, get, get_until
from testing.images import png


@pytest.fixture
def dataset(workplace: Path, good_folder: Path, andon: Andon) -> Path:
    """Station s1 with an active normal set, and a dataset of three good images and a bad file."""
    andon("station", "add", "s1")
    assert andon("normals", "add", "s1", good_folder, "--activate").code == 0
    pictures = workplace / "parts" / "test" / "good"
    pictures.mkdir(parents=True)
    for number in range(3):
        (pictures / f"part{number}.png").write_bytes(png(100 + number))
    (pictures / "part3.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    return workplace / "parts"


def test_a_bad_frame_becomes_a_dead_letter_and_again_when_it_is_replayed(andon: Andon, dataset: Path) -> None:
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


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_metrics_and_stops_cleanly(
    asked: signal.Signals, andon: Andon, start_andon: Start, dataset: Path
) -> None:
    andon("produce", "s1", "--source", f"replay:{dataset}")
    port = free_port()
    worker = start_andon("score", "--metrics-port", port)
    text = get_until(port, "/metrics", 'andon_dead_letters_total{reason="corrupt-image"} 1.0')
    assert 'andon_verdicts_total{decision="' in text
    assert get(port, "/healthz") == (200, "ok\n")
    worker.send_signal(asked)
    out, err = worker.communicate(timeout=90)
    assert worker.returncode == 0
    assert out.startswith("3 verdicts, ")
    assert "Stopping: " in err
    assert "Traceback" not in err


def test_a_database_that_is_away_is_waited_for_and_healthz_says_so(
    start_andon: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("ANDON_STORAGE__DATABASE_URL", f"postgresql+psycopg://andon@127.0.0.1:{free_port()}/andon")
    worker = start_andon("score", "--metrics-port", port)
    get_until(port, "/healthz", "Waiting for the database")
    assert get(port, "/healthz")[0] == 503
    worker.send_signal(signal.SIGTERM)
    _, err = worker.communicate(timeout=90)
    assert worker.returncode == 0
    assert "Traceback" not in err


def test_a_detector_that_is_not_there_is_told(andon: Andon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDON_SCORER__DETECTOR", "crystal-ball")
    ended = andon("score", "--drain")
    assert ended.code == 1
    assert "crystal-ball" in ended.err.splitlines()[-1]
