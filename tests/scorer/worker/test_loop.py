"""The worker on real parts: every frame becomes exactly one verdict, dead letter or parked frame, whatever happens."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ingest import schema
from ingest.bus.protocol import Message
from ingest.frame import Frame, mint_frame_id
from scorer.imaging.framing import Framed
from scorer.worker.progress import Progress
from storage.areas import masks
from storage.areas.masks import Mask
from storage.blobs.anomaly_maps import decode_map
from storage.line import normal_sets, stations, thresholds, workers
from storage.line.stations import StationSettings
from testing.line import START, Line, Services, encoded, part, running, scorer_settings
from tests.scorer.worker.faults import offset_of
from tests.scorer.worker.hooked_detector import load_hooked

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def services() -> Services:
    """Use the embedded default alone."""
    return Services()


def make_message(line: Line, station: str = "s1", image: bytes | None = None) -> Message:
    frame = Frame(station, START, encoded(part(1)) if image is None else image, "image/png")
    return schema.encode(frame, mint_frame_id(frame), START, None)


def dead_letter_reasons(line: Line) -> list[str]:
    return sorted(letter.reason for letter in line.dead_letters())


def test_frames_become_verdicts_in_order_and_defects_are_flagged(line: Line) -> None:
    frame_ids = line.publish_parts("s1", 12, defect=lambda number: number in (3, 7))
    assert line.drain() == Progress(frames=12, verdicts=12, flagged=2)
    verdicts = line.verdicts("s1")
    assert [verdict.frame_id for verdict in verdicts] == frame_ids
    assert [verdict.decision for verdict in verdicts] == ["flag" if n in (3, 7) else "pass" for n in range(12)]


def test_a_verdict_records_its_detector_normal_set_and_threshold(line: Line) -> None:
    line.publish_parts("s1", 1)
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


def test_a_flagged_frame_says_where_its_defect_is(line: Line) -> None:
    line.publish_parts("s1", 4, defect=lambda number: number == 2)
    line.drain()
    verdicts = line.verdicts("s1")
    (region, *_) = verdicts[2].regions or ()  # the blot is in the middle of the part
    left, top, right, bottom = region.box
    assert region.place == "centre"
    assert 0.2 < left < 0.5 < right < 0.8
    assert 0.2 < top < 0.5 < bottom < 0.8
    assert [verdict.regions for verdict in verdicts if verdict.decision == "pass" and not verdict.is_borderline] == [
        () for verdict in verdicts if verdict.decision == "pass" and not verdict.is_borderline
    ]


def test_a_mask_applies_from_the_next_batch_and_its_version_is_in_the_verdict(line: Line) -> None:
    line.publish_parts("s1", 4, defect=lambda _: True)
    line.drain()
    blot = Mask(ignored=(((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)),))
    with line.database.begin() as session:
        masks.record(session, stations.get(session, "s1").id, blot, START, "ada")
    line.publish_parts("s1", 4, defect=lambda _: True)
    line.drain()
    verdicts = line.verdicts("s1")
    assert [(verdict.decision, verdict.mask_version) for verdict in verdicts] == [("flag", 0)] * 4 + [("pass", 1)] * 4
    assert verdicts[0].threshold != verdicts[-1].threshold  # the normals were calibrated with the same mask
    middle = decode_map(line.images.get(verdicts[-1].map_reference or ""))[5:11, 5:11]
    assert (middle == 0).all()


def test_a_message_without_a_verdict_becomes_a_dead_letter_and_the_others_are_scored(line: Line) -> None:
    line.settings = scorer_settings(line.folder, max_image_bytes=1_000_000)
    image_bytes = encoded(part(1))
    good = make_message(line)
    newer = replace(good, headers=(("andon-schema", b"2"), *good.headers[1:]))
    line.publish_messages(
        [
            make_message(line),
            Message("x", b"hello", ()),
            newer,
            make_message(line, station="s9"),
            make_message(line, image=image_bytes[:100]),
            make_message(line, image=b"GIF89a"),
            make_message(line, image=bytes(2_000_000)),
            schema.refer(make_message(line), "sha256:" + "0" * 64),
            make_message(line),
        ]
    )
    done = line.drain()
    assert (done.frames, done.verdicts, done.dead_letters) == (9, 2, 7)
    assert dead_letter_reasons(line) == [
        "corrupt-image", "image-missing", "newer-schema", "no-headers", "not-an-image", "too-many-bytes",
        "unknown-station",
    ]  # fmt: skip
    letter = next(letter for letter in line.dead_letters() if letter.reason == "no-headers")
    assert line.images.get(letter.payload_reference) == b"hello"


def test_a_dead_letter_can_be_replayed_once_its_cause_is_resolved(line: Line) -> None:
    line.publish_parts("s9", 1)
    line.drain()
    (letter,) = line.dead_letters()
    assert letter.station == "s9"
    line.add_station("s9", without_normals="no_reference")
    line.publish_messages([Message(letter.key or "", line.images.get(letter.payload_reference), letter.headers)])
    assert line.drain().verdicts == 1


def test_an_image_sent_by_reference_is_not_stored_twice(line: Line) -> None:
    reference = line.images.put(encoded(part(5)))
    line.publish_messages([schema.refer(make_message(line), reference)])
    assert line.drain().verdicts == 1
    assert line.verdicts()[0].image_reference == reference


def test_the_content_type_is_detected_from_the_bytes(line: Line) -> None:
    line.publish("s1", [encoded(part(1), "BMP")], content_type="image/jpeg")
    line.drain()
    assert line.verdicts()[0].content_type == "image/bmp"


def test_a_station_without_normals_gives_no_reference_verdicts_where_configured(line: Line) -> None:
    line.add_station("s2", without_normals="no_reference")
    line.publish_parts("s2", 3)
    assert line.drain() == Progress(frames=3, verdicts=3)
    assert {(v.decision, v.score, v.threshold, v.model_id) for v in line.verdicts("s2")} == {
        ("no_reference", None, None, None)
    }


def test_parked_frames_are_scored_first_and_in_order_once_a_normal_set_is_active(line: Line) -> None:
    line.add_station("s2")
    early = line.publish_parts("s2", 20)
    assert line.drain() == Progress(frames=20, parked=20)
    assert line.parked_count() == 20
    line.add_normal_set("s2")
    late = line.publish_parts("s2", 5)
    line.drain()
    verdicts = sorted(line.verdicts("s2"), key=lambda verdict: verdict.decided_at)
    assert [verdict.frame_id for verdict in verdicts] == early + late
    assert line.parked_count() == 0


def test_a_running_worker_scores_parked_frames_once_a_normal_set_is_active(line: Line) -> None:
    line.add_station("s2")
    line.publish_parts("s2", 3)
    with running(line.worker()) as progress:
        progress.wait_for(lambda done: done.parked == 3)
        line.add_normal_set("s2")
        progress.wait_for(lambda done: done.verdicts == 3)


def test_an_unusable_normal_set_gives_dead_letters_that_name_it(line: Line) -> None:
    line.add_station("s2")
    verdicts = line.add_normal_set("s2")
    path = next(path for path in line.folder.rglob("*") if path.name.startswith(verdicts.images[0].reference[7:20]))
    path.unlink()
    line.publish_parts("s2", 2)
    assert line.drain().dead_letters == 2
    assert "0.png" in line.dead_letters()[0].error


def test_activation_under_load_takes_effect_between_batches(line: Line) -> None:
    second = line.add_normal_set("s1", first=2000, activate=False)
    with running(line.worker()) as progress:
        line.publish_parts("s1", 30)
        progress.wait_for(lambda done: done.verdicts >= 8)
        line.activate(second)
        line.publish_parts("s1", 30)
        progress.wait_for(lambda done: done.verdicts == 60)
    normal_set_ids = [verdict.normal_set_id or 0 for verdict in sorted(line.verdicts("s1"), key=offset_of)]
    assert normal_set_ids == sorted(normal_set_ids)
    assert normal_set_ids[-1] == second.id
    thresholds_used = {(verdict.normal_set_id, verdict.threshold) for verdict in line.verdicts("s1")}
    assert len(thresholds_used) == 2


def test_a_changed_false_reject_rate_gives_a_new_threshold(line: Line) -> None:
    line.publish_parts("s1", 1)
    line.drain()
    with line.database.begin() as session:
        stations.edit(session, "s1", StationSettings(false_reject_rate=0.2))
    line.publish_parts("s1", 1)
    line.drain()
    first, second = line.verdicts("s1")
    assert (second.threshold or 0.0) < (first.threshold or 0.0)


def is_poison(framed: Framed) -> bool:
    return framed.height == 72


def test_a_frame_that_breaks_the_model_is_retried_alone_and_becomes_a_dead_letter(line: Line) -> None:
    calls: list[int] = []

    def before_scoring(framed: Sequence[Framed]) -> None:
        calls.append(len(framed))
        if any(is_poison(one) for one in framed):
            raise RuntimeError("out of luck")

    line.settings = scorer_settings(line.folder, score_threads=1)
    images = [encoded(part(number, size=(72, 72) if number == 2 else (64, 64))) for number in range(6)]
    line.publish("s1", images)
    with capture_logs():  # rendering the traceback with its tensors takes longer than all else here
        done = line.drain(load=load_hooked(before_scoring))
    assert (done.verdicts, done.dead_letters) == (5, 1)
    assert calls == [6, 1, 1, 1, 1, 1, 1]
    (letter,) = line.dead_letters()
    assert (letter.reason, letter.station) == ("scoring-failed", "s1")
    assert "out of luck" in letter.error


def test_frames_of_several_stations_are_batched_and_scored_against_their_own_normals(line: Line) -> None:
    for name in ("s2", "s3"):
        line.add_station(name)
        line.add_normal_set(name, first=5000)
    sizes: list[int] = []
    for _ in range(2):
        for name in ("s1", "s2", "s3"):
            line.publish_parts(name, 1)
    line.settings = scorer_settings(line.folder, batch_frames=8)
    assert line.drain(load=load_hooked(lambda framed: sizes.append(len(framed)))).verdicts == 6
    assert max(sizes) > 2
    single = Line(line.folder / "single")
    single.add_station("s2")
    single.add_normal_set("s2", first=5000)
    single.publish_parts("s2", 1)
    single.drain()
    (expected,) = single.verdicts("s2")
    assert [verdict.score for verdict in line.verdicts("s2")] == pytest.approx([expected.score] * 2, abs=1e-6)


def test_images_are_decoded_in_chunks_that_fit_the_byte_budget(tmp_path: Path) -> None:
    line_of_little_memory = Line(tmp_path, max_decoded_bytes=40_000)
    line_of_little_memory.add_station("s1")
    line_of_little_memory.add_normal_set("s1")
    line_of_little_memory.publish_parts("s1", 10)
    assert line_of_little_memory.drain().verdicts == 10


def test_a_worker_reports_its_status(line: Line) -> None:
    line.publish_parts("s1", 3)
    line.drain()
    with line.database.read() as session:
        (status,) = workers.list_all(session)
    assert (status.name, status.state, status.detector, status.lag) == ("w1", "stopped", "nearest-patch", 0)


def test_two_workers_share_the_frames_and_agree_on_thresholds(line: Line) -> None:
    for number in range(2, 7):
        line.add_station(f"s{number}")
        line.add_normal_set(f"s{number}")
    other, progress_changed = Line(line.folder), threading.Condition()
    with running(line.worker(), progress_changed) as first, running(other.worker(), progress_changed) as second:
        for number in range(1, 7):
            line.publish_parts(f"s{number}", 10)
        first.wait_for(lambda done: done.verdicts + second.latest.verdicts == 60)
    assert len(line.verdicts()) == 60
    by_station = {(verdict.station_id, verdict.threshold) for verdict in line.verdicts()}
    assert len(by_station) == 6


def test_references_are_computed_before_the_first_frame(line: Line) -> None:
    line.add_station("s2")
    line.add_normal_set("s2", first=2000)
    assert line.drain() == Progress()
    assert len(list(line.settings.references_path.rglob("*.safetensors"))) == 2
