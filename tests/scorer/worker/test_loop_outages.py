"""The worker waits for what is unavailable, keeps the order when a batch fails, and survives being killed."""

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from scorer.detectors import registry
from scorer.detectors.protocol import Detector
from scorer.errors import ModelUnavailable, UnknownDetector
from scorer.imaging.framing import Framed, Framing
from scorer.settings import ScorerSettings
from scorer.worker.progress import Progress
from storage.database.engine import Database
from storage.errors import SchemaMismatch
from testing.line import PATIENCE_S, Line, Services, running, scorer_settings
from tests.scorer.worker.faults import moved_away, start_worker, was_killed
from tests.scorer.worker.hooked_detector import load_hooked

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def services() -> Services:
    """Use the embedded default alone."""
    return Services()


def test_batches_after_a_failed_one_are_not_written_before_it(line: Line) -> None:
    """The third batch finds the model missing once; no verdict of a later batch may be written before its own."""
    batch_sizes: list[int] = []

    def before_scoring(framed: Sequence[Framed]) -> None:
        batch_sizes.append(len(framed))
        if len(batch_sizes) == 3:
            raise ModelUnavailable("gone for a moment")

    frame_ids = line.publish_parts("s1", 40)
    line.drain(load=load_hooked(before_scoring))
    verdicts = sorted(line.verdicts("s1"), key=lambda verdict: (verdict.decided_at, verdict.offset))
    assert [verdict.frame_id for verdict in verdicts] == frame_ids


def test_the_worker_waits_for_a_missing_model_and_loses_nothing(line: Line) -> None:
    attempts: list[int] = []

    def load(settings: ScorerSettings, framing: Framing) -> Detector:
        attempts.append(1)
        if len(attempts) < 4:
            raise ModelUnavailable("no weights yet")
        return registry.load(settings, framing)

    line.publish_parts("s1", 3)
    assert line.drain(load=load).verdicts == 3
    assert len(attempts) == 4


def test_the_worker_waits_for_an_unavailable_database(line: Line) -> None:
    parked_ids = threading.Event()

    def wait_for(stop: threading.Event, seconds: float) -> bool:
        parked_ids.set()
        return stop.wait(seconds)

    worker = line.worker(wait_for=wait_for)
    line.publish_parts("s1", 5)
    with running(worker) as progress:
        progress.wait_for(lambda done: done.verdicts == 5)
        with moved_away(line.folder / "andon.sqlite"):
            line.publish_parts("s1", 5)
            assert parked_ids.wait(PATIENCE_S)
            assert "Waiting for the database" in worker.health()[0]
        progress.wait_for(lambda done: done.verdicts == 10)
    assert worker.health() == []
    assert len(line.verdicts("s1")) == 10


def test_the_worker_waits_for_an_unavailable_bus(line: Line) -> None:
    parked_ids = threading.Event()

    def wait_for(stop: threading.Event, seconds: float) -> bool:
        parked_ids.set()
        return stop.wait(seconds)

    worker = line.worker(wait_for=wait_for)
    line.publish_parts("s1", 5)
    with ExitStack() as outage:
        outage.enter_context(moved_away(line.folder / "bus.sqlite"))
        with running(worker) as progress:
            assert parked_ids.wait(PATIENCE_S)
            assert "Waiting for the bus" in worker.health()[0]
            outage.close()
            progress.wait_for(lambda done: done.verdicts == 5)


def test_nothing_is_committed_while_the_image_store_is_unavailable(line: Line) -> None:
    folder = line.folder / "images"
    parked_ids = threading.Event()

    def wait_for(stop: threading.Event, seconds: float) -> bool:
        parked_ids.set()
        return stop.wait(seconds)

    line.publish_parts("s1", 3)
    line.drain()
    folder.rename(line.folder / "away")
    folder.write_text("not a folder")
    worker = line.worker(wait_for=wait_for)
    line.publish_parts("s1", 3)
    with running(worker) as progress:
        assert parked_ids.wait(PATIENCE_S)
        assert "Waiting for the image store" in worker.health()[0]
        assert len(line.verdicts()) == 3
        folder.unlink()
        (line.folder / "away").rename(folder)
        progress.wait_for(lambda done: done.verdicts == 3)


def test_an_unknown_detector_is_an_error_at_once(line: Line) -> None:
    line.settings = scorer_settings(line.folder, detector="crystal-ball")
    with pytest.raises(UnknownDetector, match="nearest-patch"):
        line.drain()


def test_an_outdated_schema_is_an_error_at_once(tmp_path: Path) -> None:
    line = Line(tmp_path)
    line.database = Database(f"sqlite:///{tmp_path / 'never-migrated.sqlite'}")
    with pytest.raises(SchemaMismatch):
        line.drain()


def test_a_worker_killed_while_scoring_parked_frames_loses_and_duplicates_nothing(line: Line) -> None:
    line.add_station("s2")
    parked_ids = line.publish_parts("s2", 3)
    line.drain()
    line.add_normal_set("s2")
    assert was_killed(start_worker(line, crash_at="writing"))
    assert line.parked_count() == 3
    assert was_killed(start_worker(line, crash_at="written"))
    line.drain()
    assert [verdict.frame_id for verdict in line.verdicts("s2")] == parked_ids
    assert line.parked_count() == 0


def test_model_loading_time_does_not_count_against_preparation(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow machine's first start, engines are measured while the model loads."""
    for name in ("s2", "s3"):
        line.add_station(name)
        line.add_normal_set(name, first=2000)
    now_s = [0.0]
    monkeypatch.setattr("scorer.worker.lookup.time", SimpleNamespace(monotonic=lambda: now_s[0]))

    def load_slowly(settings: ScorerSettings, framing: Framing) -> Detector:
        now_s[0] += 60
        return registry.load(settings, framing)

    assert line.drain(load=load_slowly) == Progress()
    assert len(list(line.settings.references_path.rglob("*.safetensors"))) == 3
