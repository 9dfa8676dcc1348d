"""The service runs every output on its own, and waits for the database."""

import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from andon.services.output_service import OutputService
from andon.settings import Settings
from outputs import registry
from outputs.message import VerdictMessage
from outputs.settings import OutputsSettings
from storage.database.engine import Database
from storage.errors import SchemaMismatch
from tests.outputs.examples import RecordingOutput, add_ready_station, decide


class HangingOutput(RecordingOutput):
    """Hangs in `send` until it is released."""

    def __init__(self, released: threading.Event) -> None:
        super().__init__()
        self._released = released

    def send(self, messages: Sequence[VerdictMessage]) -> None:
        self._released.wait()
        super().send(messages)


@pytest.fixture
def outputs(monkeypatch: pytest.MonkeyPatch) -> dict[str, RecordingOutput]:
    """The outputs that the kinds of the settings stand for, to be filled by the test."""
    by_kind: dict[str, RecordingOutput] = {}
    monkeypatch.setattr(registry, "load_plugin", lambda group, kind: lambda settings: by_kind[kind])
    return by_kind


def settings_for(*kinds: str) -> Settings:
    tables = {kind: {"kind": kind} for kind in kinds}
    return Settings(outputs=OutputsSettings(poll_interval_s=0.01, retry_backoff_s=0.01, **tables))


def test_an_output_that_hangs_delays_no_other_one(tmp_path: Path, outputs: dict[str, RecordingOutput]) -> None:
    released = threading.Event()
    outputs |= {"slow": HangingOutput(released), "quick": RecordingOutput()}
    with closing(Database(f"sqlite:///{tmp_path}/andon.db")) as database:
        database.upgrade()
        OutputService(settings_for("slow", "quick"), database).run(threading.Event(), drain=True)
        sent = decide(database, add_ready_station(database, "s1"), range(3))
        service = OutputService(settings_for("slow", "quick"), database)
        running = threading.Thread(target=service.run, args=(threading.Event(), True))
        running.start()
        while outputs["quick"].received != sent:
            running.join(0.01)
            assert running.is_alive()
        assert outputs["slow"].received == []
        released.set()
        running.join()
    assert outputs["slow"].received == sent
    assert service.delivered == 6
    assert outputs["slow"].closed
    assert outputs["quick"].closed


def test_another_schema_ends_the_service(tmp_path: Path, outputs: dict[str, RecordingOutput]) -> None:
    outputs["quick"] = RecordingOutput()
    with closing(Database(f"sqlite:///{tmp_path}/andon.db")) as database, pytest.raises(SchemaMismatch):
        OutputService(settings_for("quick"), database).run(threading.Event(), drain=True)


def test_a_database_that_is_away_is_waited_for(tmp_path: Path, outputs: dict[str, RecordingOutput]) -> None:
    outputs["quick"] = RecordingOutput()
    with closing(Database(f"sqlite:///{tmp_path}/ready/andon.db")) as ready:
        ready.upgrade()
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.write_text("no folder yet")
    link.symlink_to(tmp_path / "ready")
    with closing(Database(f"sqlite:///{folder}/andon.db")) as database:
        service = OutputService(settings_for("quick"), database)
        running = threading.Thread(target=service.run, args=(threading.Event(), True))
        running.start()
        while not service.health():
            running.join(0.01)
            assert running.is_alive()
        link.replace(folder)
        running.join()
    assert service.health() == []
