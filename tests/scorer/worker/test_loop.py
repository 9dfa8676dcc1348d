"""The worker on real parts: every frame becomes exactly one verdict, dead letter or parked frame, whatever happens."""

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from ingest import schema
from ingest.bus.protocol import Message
from ingest.frame import Frame, mint_frame_id
from scorer.detectors import registry
from scorer.detectors.protocol import Detector
from scorer.errors import ModelUnavailable, UnknownDetector
from scorer.imaging.framing import Framed, Framing
from scorer.settings import ScorerSettings
from scorer.worker.progress import Progress
from storage.blobs.anomaly_maps import decode_map
from storage.database.engine import Database
from storage.errors import SchemaMismatch
from storage.line import normal_sets, stations, thresholds, workers
from storage.line.stations import StationSettings
from testing.line import PATIENCE_S, START, Line, encoded, part, running, scorer_settings
from tests.scorer.worker.faults import offset_of, start_worker, taken_away, was_killed
from tests.scorer.worker.hooked_detector import load_hooked

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def line(tmp_path: Path) -> Line:
    """A line with the ready station s1."""
    made = Line(tmp_path)
    made.station("s1")
    made.normals("s1")
    return made


def message(line: Line, station: str = "s1", image: bytes | None = None) -> Message:
    frame = Frame(station, START, encoded(part(1)) if image is None else image, "image/png")
    return schema.encode(frame, mint_frame_id(frame), START, None)


def reasons(line: Line) -> list[str]:
    return sorted(letter.reason for letter in line.letters())


def test_frames_become_verdicts_in_order_and_defects_are_flagged(line: Line) -> None:
    ids = line.frames("s1", 12, defect=lambda number: number in (3, 7))
    assert line.drain() == Progress(frames=12, verdicts=12, flagged=2)
    made = line.verdicts("s1")
    assert [verdict.frame_id for verdict in made] == ids
    assert [verdict.decision for verdict in made] == ["flag" if n in (3, 7) else "pass" for n in range(12)]


def test_a_verdict_says_what_it_was_made_with(line: Line) -> None:
    line.frames("s1", 1)
    line.drain()
    (verdict,) = line.verdicts()
    with line.database.read() as session:
        station = stations.get(session, "s1")
        normal_set = normal_sets.active(session, station.id)
        assert normal_set is not None
        threshold = thresholds.current(session, station.id, normal_set.id, verdict.model_id or "")
    assert (verdict.detector, verdict.normal_set_id, verdict.worker) == ("nearest-patch", normal_set.id, "w1")
    assert threshold is not None
    assert verdict.threshold == threshold.value
    assert verdict.weights_sha256 is None
    assert set(verdict.components) == {"farthest patch"}
    assert line.images.get(verdict.image_reference) == encoded(part(0))
    assert decode_map(line.images.get(verdict.map_reference or "")).shape == (16, 16)


def test_a_message_that_cannot_become_a_verdict_is_a_dead_letter_and_the_rest_goes_on(line: Line) -> None:
    line.settings = scorer_settings(line.folder, max_image_bytes=1_000_000)
    whole = encoded(part(1))
    good = message(line)
    newer = replace(good, headers=(("andon-schema", b"2"), *good.headers[1:]))
    line.send(
        [
            message(line),
            Message("x", b"hello", ()),
            newer,
            message(line, station="s9"),
            message(line, image=whole[:100]),
            message(line, image=b"GIF89a"),
            message(line, image=bytes(2_000_000)),
            schema.refer(message(line), "sha256:" + "0" * 64),
            message(line),
        ]
    )
    done = line.drain()
    assert (done.frames, done.verdicts, done.dead_letters) == (9, 2, 7)
    assert reasons(line) == [
        "corrupt-image", "image-missing", "newer-schema", "no-headers", "not-an-image", "too-many-bytes",
        "unknown-station",
    ]  # fmt: skip
    letter = next(letter for letter in line.letters() if letter.reason == "no-headers")
    assert line.images.get(letter.payload_reference) == b"hello"


def test_a_dead_letter_can_be_sent_again_once_its_cause_is_gone(line: Line) -> None:
    line.frames("s9", 1)
    line.drain()
    (letter,) = line.letters()
    assert letter.station == "s9"
    line.station("s9", without_normals="no_reference")
    line.send([Message(letter.key or "", line.images.get(letter.payload_reference), letter.headers)])
    assert line.drain().verdicts == 1


def test_an_image_that_travels_by_reference_is_fetched_and_not_kept_twice(line: Line) -> None:
    reference = line.images.put(encoded(part(5)))
    line.send([schema.refer(message(line), reference)])
    assert line.drain().verdicts == 1
    assert line.verdicts()[0].image_reference == reference


def test_the_bytes_decide_the_content_type(line: Line) -> None:
    line.publish("s1", [encoded(part(1), "BMP")], content_type="image/jpeg")
    line.drain()
    assert line.verdicts()[0].content_type == "image/bmp"


def test_a_station_without_normals_gives_no_reference_where_it_asked_for_that(line: Line) -> None:
    line.station("s2", without_normals="no_reference")
    line.frames("s2", 3)
    assert line.drain() == Progress(frames=3, verdicts=3)
    assert {(v.decision, v.score, v.threshold, v.model_id) for v in line.verdicts("s2")} == {
        ("no_reference", None, None, None)
    }


def test_frames_wait_for_a_first_normal_set_and_come_first_and_in_order_then(line: Line) -> None:
    line.station("s2")
    early = line.frames("s2", 20)
    assert line.drain() == Progress(frames=20, parked=20)
    assert line.parked() == 20
    line.normals("s2")
    late = line.frames("s2", 5)
    line.drain()
    made = sorted(line.verdicts("s2"), key=lambda verdict: verdict.decided_at)
    assert [verdict.frame_id for verdict in made] == early + late
    assert line.parked() == 0


def test_a_running_worker_takes_up_parked_frames_by_itself(line: Line) -> None:
    line.station("s2")
    line.frames("s2", 3)
    with running(line.worker()) as progress:
        progress.wait_for(lambda done: done.parked == 3)
        line.normals("s2")
        progress.wait_for(lambda done: done.verdicts == 3)


def test_a_normal_set_that_cannot_be_used_makes_dead_letters_that_say_so(line: Line) -> None:
    line.station("s2")
    made = line.normals("s2")
    path = next(path for path in line.folder.rglob("*") if path.name.startswith(made.images[0].reference[7:20]))
    path.unlink()
    line.frames("s2", 2)
    assert line.drain().dead_letters == 2
    assert "Normal set 1 of s2 allows no verdict: The normal image 0.png can't be used" in line.letters()[0].error


def test_activation_under_load_switches_between_batches_and_reaches_running_workers(line: Line) -> None:
    second = line.normals("s1", first=2000, activate=False)
    with running(line.worker()) as progress:
        line.frames("s1", 30)
        progress.wait_for(lambda done: done.verdicts >= 8)
        line.activate(second)
        line.frames("s1", 30)
        progress.wait_for(lambda done: done.verdicts == 60)
    used = [verdict.normal_set_id or 0 for verdict in sorted(line.verdicts("s1"), key=offset_of)]
    assert used == sorted(used)
    assert used[-1] == second.id
    thresholds_used = {(verdict.normal_set_id, verdict.threshold) for verdict in line.verdicts("s1")}
    assert len(thresholds_used) == 2


def test_a_changed_false_reject_rate_makes_a_new_threshold(line: Line) -> None:
    line.frames("s1", 1)
    line.drain()
    with line.database.begin() as session:
        stations.edit(session, "s1", StationSettings(false_reject_rate=0.2))
    line.frames("s1", 1)
    line.drain()
    first, second = line.verdicts("s1")
    assert (second.threshold or 0.0) < (first.threshold or 0.0)


def is_poison(framed: Framed) -> bool:
    return framed.height == 72


def test_a_frame_that_breaks_the_model_is_tried_alone_and_then_a_dead_letter(line: Line) -> None:
    calls: list[int] = []

    def fail(framed: Sequence[Framed]) -> None:
        calls.append(len(framed))
        if any(is_poison(one) for one in framed):
            raise RuntimeError("out of luck")

    line.settings = scorer_settings(line.folder, score_threads=1)
    images = [encoded(part(number, size=(72, 72) if number == 2 else (64, 64))) for number in range(6)]
    line.publish("s1", images)
    with capture_logs():  # rendering the traceback with its tensors takes longer than all else here
        done = line.drain(load=load_hooked(fail))
    assert (done.verdicts, done.dead_letters) == (5, 1)
    assert calls == [6, 1, 1, 1, 1, 1, 1]
    (letter,) = line.letters()
    assert (letter.reason, letter.station) == ("scoring-failed", "s1")
    assert "out of luck" in letter.error


def test_frames_of_several_stations_go_through_the_network_together_and_each_meets_its_own_normals(line: Line) -> None:
    for name in ("s2", "s3"):
        line.station(name)
        line.normals(name, first=5000)
    sizes: list[int] = []
    for _ in range(2):
        for name in ("s1", "s2", "s3"):
            line.frames(name, 1)
    line.settings = scorer_settings(line.folder, batch_frames=8)
    assert line.drain(load=load_hooked(lambda framed: sizes.append(len(framed)))).verdicts == 6
    assert max(sizes) > 2
    single = Line(line.folder / "single")
    single.station("s2")
    single.normals("s2", first=5000)
    single.frames("s2", 1)
    single.drain()
    (expected,) = single.verdicts("s2")
    assert [verdict.score for verdict in line.verdicts("s2")] == pytest.approx([expected.score] * 2, abs=1e-6)


def test_what_comes_after_a_batch_that_failed_is_not_written_before_it(line: Line) -> None:
    """The third batch finds the model missing once; no verdict of a later batch may be written before its own."""
    seen: list[int] = []

    def fail(framed: Sequence[Framed]) -> None:
        seen.append(len(framed))
        if len(seen) == 3:
            raise ModelUnavailable("gone for a moment")

    ids = line.frames("s1", 40)
    line.drain(load=load_hooked(fail))
    made = sorted(line.verdicts("s1"), key=lambda verdict: (verdict.decided_at, verdict.offset))
    assert [verdict.frame_id for verdict in made] == ids


def test_a_missing_model_is_waited_for_and_nothing_is_lost(line: Line) -> None:
    times: list[int] = []

    def load(settings: ScorerSettings, framing: Framing) -> Detector:
        times.append(1)
        if len(times) < 4:
            raise ModelUnavailable("no weights yet")
        return registry.load(settings, framing)

    line.frames("s1", 3)
    assert line.drain(load=load).verdicts == 3
    assert len(times) == 4


def test_while_the_database_is_away_the_worker_waits_says_so_and_goes_on_after(line: Line) -> None:
    waiting = threading.Event()

    def wait_for(stop: threading.Event, seconds: float) -> bool:
        waiting.set()
        return stop.wait(seconds)

    worker = line.worker(wait_for=wait_for)
    line.frames("s1", 5)
    with running(worker) as progress:
        progress.wait_for(lambda done: done.verdicts == 5)
        with taken_away(line.folder / "andon.sqlite"):
            line.frames("s1", 5)
            assert waiting.wait(PATIENCE_S)
            assert "Waiting for the database" in worker.health()[0]
        progress.wait_for(lambda done: done.verdicts == 10)
    assert worker.health() == []
    assert len(line.verdicts("s1")) == 10


def test_while_the_bus_is_away_the_worker_waits_and_goes_on_after(line: Line) -> None:
    waiting = threading.Event()

    def wait_for(stop: threading.Event, seconds: float) -> bool:
        waiting.set()
        return stop.wait(seconds)

    worker = line.worker(wait_for=wait_for)
    line.frames("s1", 5)
    with ExitStack() as until_it_is_back:
        until_it_is_back.enter_context(taken_away(line.folder / "bus.sqlite"))
        with running(worker) as progress:
            assert waiting.wait(PATIENCE_S)
            assert "Waiting for the bus" in worker.health()[0]
            until_it_is_back.close()
            progress.wait_for(lambda done: done.verdicts == 5)


def test_while_the_image_store_is_away_nothing_is_committed(line: Line) -> None:
    folder = line.folder / "images"
    waiting = threading.Event()

    def wait_for(stop: threading.Event, seconds: float) -> bool:
        waiting.set()
        return stop.wait(seconds)

    line.frames("s1", 3)
    line.drain()
    folder.rename(line.folder / "away")
    folder.write_text("not a folder")
    worker = line.worker(wait_for=wait_for)
    line.frames("s1", 3)
    with running(worker) as progress:
        assert waiting.wait(PATIENCE_S)
        assert "Waiting for the image store" in worker.health()[0]
        assert len(line.verdicts()) == 3
        folder.unlink()
        (line.folder / "away").rename(folder)
        progress.wait_for(lambda done: done.verdicts == 3)


def test_pictures_are_decoded_in_portions_that_fit_the_memory_allowed(tmp_path: Path) -> None:
    small = Line(tmp_path, max_decoded_bytes=40_000)
    small.station("s1")
    small.normals("s1")
    small.frames("s1", 10)
    assert small.drain().verdicts == 10


def test_a_worker_tells_how_it_is(line: Line) -> None:
    line.frames("s1", 3)
    line.drain()
    with line.database.read() as session:
        (status,) = workers.list_all(session)
    assert (status.name, status.state, status.detector, status.lag) == ("w1", "stopped", "nearest-patch", 0)


def test_two_workers_share_the_frames_and_agree(line: Line) -> None:
    for number in range(2, 7):
        line.station(f"s{number}")
        line.normals(f"s{number}")
    other, changed = Line(line.folder), threading.Condition()
    with running(line.worker(), changed) as first, running(other.worker(), changed) as second:
        for number in range(1, 7):
            line.frames(f"s{number}", 10)
        first.wait_for(lambda done: done.verdicts + second.latest.verdicts == 60)
    assert len(line.verdicts()) == 60
    by_station = {(verdict.station_id, verdict.threshold) for verdict in line.verdicts()}
    assert len(by_station) == 6


def test_an_unknown_detector_is_an_error_at_once(line: Line) -> None:
    line.settings = scorer_settings(line.folder, detector="crystal-ball")
    with pytest.raises(UnknownDetector, match="nearest-patch"):
        line.drain()


def test_an_outdated_schema_is_an_error_at_once(tmp_path: Path) -> None:
    line = Line(tmp_path)
    line.database = Database(f"sqlite:///{tmp_path / 'never-migrated.sqlite'}")
    with pytest.raises(SchemaMismatch):
        line.drain()


def test_a_worker_killed_over_parked_frames_loses_and_doubles_nothing(line: Line) -> None:
    line.station("s2")
    waiting = line.frames("s2", 3)
    line.drain()
    line.normals("s2")
    assert was_killed(start_worker(line, crash_at="writing"))
    assert line.parked() == 3
    assert was_killed(start_worker(line, crash_at="written"))
    line.drain()
    assert [verdict.frame_id for verdict in line.verdicts("s2")] == waiting
    assert line.parked() == 0


def test_a_worker_is_ready_for_its_stations_before_the_first_frame(line: Line) -> None:
    line.station("s2")
    line.normals("s2", first=2000)
    assert line.drain() == Progress()
    assert len(list(line.settings.references_path.rglob("*.safetensors"))) == 2


def test_a_model_that_takes_a_minute_to_load_takes_no_time_from_the_stations(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a slow machine's first start, engines are measured while the model loads."""
    for name in ("s2", "s3"):
        line.station(name)
        line.normals(name, first=2000)
    now_s = [0.0]
    monkeypatch.setattr("scorer.worker.lookup.time", SimpleNamespace(monotonic=lambda: now_s[0]))

    def slow(settings: ScorerSettings, framing: Framing) -> Detector:
        now_s[0] += 60
        return registry.load(settings, framing)

    assert line.drain(load=slow) == Progress()
    assert len(list(line.settings.references_path.rglob("*.safetensors"))) == 3
