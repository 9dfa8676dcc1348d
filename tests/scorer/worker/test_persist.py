"""The increments of the counters by a batch, whichever of its frames were recorded before."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from ingest.bus.protocol import RecordPosition
from ingest.frame import Frame, PublishedFrame, mint_frame_id
from scorer.images import RetriableImageStore
from scorer.worker.batch import DecidedBatch, Polled, Unscorable
from scorer.worker.persist import BatchWriter
from scorer.worker.progress import Progress
from storage.line import stations, thresholds
from testing.line import START, Line

IMAGE = "sha256:" + "0" * 64


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    line = Line(tmp_path)
    for name in ("s1", "s2"):
        line.add_station(name, without_normals="no_reference")
    yield line
    line.close()


@pytest.fixture
def writer(line: Line) -> Iterator[BatchWriter]:
    with ThreadPoolExecutor(1) as threads:
        yield BatchWriter(line.database, RetriableImageStore(line.images), "w1", lambda: START, threads, 1)


def frame_of(line: Line, station: str, number: int) -> Unscorable:
    """A frame without normals to compare with; the same number gives the same frame."""
    captured_at = START + timedelta(seconds=number)
    frame_id = mint_frame_id(Frame(station, captured_at, b"", "image/png", identity=str(number)))
    frame = PublishedFrame(frame_id, station, captured_at, captured_at, "image/png", image=None, image_reference=IMAGE)
    reference: Future[str] = Future()
    reference.set_result(IMAGE)
    with line.database.read() as session:
        found = stations.get(session, station)
    return Unscorable(frame, RecordPosition("frames", 0, number), found, "image/png", reference)


def batch_of(unscored: list[Unscorable], to_park: list[Unscorable]) -> DecidedBatch:
    return DecidedBatch(Polled([]), decided=[], bad_pictures=[], unscored=unscored, to_park=to_park, rejected=[])


def verdicts_counted(station: str) -> float:
    labels = {"station": station, "decision": "no_reference"}
    return REGISTRY.get_sample_value("andon_verdicts_total", labels) or 0.0


def borderline_counted(station: str) -> float:
    return REGISTRY.get_sample_value("andon_borderline_frames_total", {"station": station}) or 0.0


def parked_counted(station: str) -> float:
    return REGISTRY.get_sample_value("andon_parked_frames_total", {"station": station}) or 0.0


def test_a_frame_read_again_is_counted_at_no_station(line: Line, writer: BatchWriter) -> None:
    again = frame_of(line, "s1", 1)
    writer.write(batch_of([again], []))
    before = {name: verdicts_counted(name) for name in ("s1", "s2")}
    assert writer.write(batch_of([frame_of(line, "s2", 2), again], [])) == Progress(verdicts=1)
    assert {name: verdicts_counted(name) - before[name] for name in before} == {"s1": 0, "s2": 1}


def test_a_frame_twice_in_a_batch_is_counted_once(line: Line, writer: BatchWriter) -> None:
    before = verdicts_counted("s1")
    assert writer.write(batch_of([frame_of(line, "s1", 1), frame_of(line, "s1", 1)], [])) == Progress(verdicts=1)
    assert verdicts_counted("s1") - before == 1


def test_a_frame_parked_again_is_counted_at_no_station(line: Line, writer: BatchWriter) -> None:
    again = frame_of(line, "s1", 1)
    writer.write(batch_of([], [again]))
    before = {name: parked_counted(name) for name in ("s1", "s2")}
    assert writer.write(batch_of([], [frame_of(line, "s2", 2), again])) == Progress(parked=1)
    assert {name: parked_counted(name) - before[name] for name in before} == {"s1": 0, "s2": 1}


def test_frames_above_the_review_limit_are_counted_as_borderline(tmp_path: Path) -> None:
    line = Line(tmp_path)
    station_id = line.add_station("s3")
    line.add_normal_set("s3")
    line.publish_parts("s3", 1)
    line.drain()
    with line.database.begin() as session:
        (calibrated,) = thresholds.history(session, station_id)
        thresholds.record(session, replace(calibrated, value=1e6, review_limit=0.0, kind="manual"))
    before = borderline_counted("s3")
    line.publish_parts("s3", 2)
    line.drain()
    assert [verdict.is_borderline for verdict in line.verdicts("s3")[-2:]] == [True, True]
    assert borderline_counted("s3") - before == 2
    line.close()
