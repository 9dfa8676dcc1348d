"""Times and metadata of any kind: the picture is judged, or its dead letter says why not."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from foundation.clock import EPOCH, utc_now
from ingest import schema
from ingest.bus.protocol import Message
from ingest.frame import Frame
from scorer.worker.progress import Progress
from testing.line import START, Line, Services, encoded, part
from tests.scorer.worker.test_loop import dead_letter_reasons

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def services() -> Services:
    """Use the embedded default alone."""
    return Services()


def test_a_time_that_can_not_be_true_is_kept_beside_the_arrival_and_one_that_can_not_exist_is_refused(
    line: Line,
) -> None:
    tomorrow = utc_now() + timedelta(days=1)
    line.publish_messages([captured(at) for at in (START, tomorrow, EPOCH)])
    line.publish_messages(
        [stamped(text) for text in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "1969-12-31T23:59:59Z")]
    )
    begun = utc_now()
    assert line.drain() == Progress(frames=6, verdicts=3, dead_letters=3)
    assert dead_letter_reasons(line) == ["impossible-time"] * 3
    right, ahead, behind = sorted(line.verdicts(), key=lambda verdict: verdict.offset)
    assert (right.captured_at, right.stamped_at) == (START, None)
    assert (ahead.captured_at, ahead.stamped_at) == (START, tomorrow)  # it was published at the start
    assert (behind.captured_at, behind.stamped_at) == (START, EPOCH)
    assert all(verdict.decided_at >= begun for verdict in (right, ahead, behind))


def captured(at: datetime) -> Message:
    return schema.encode(Frame("s1", at, encoded(part(1)), "image/png"), uuid4(), START, None)


def stamped(text: str) -> Message:
    good = captured(START)
    headers = dict(good.headers) | {"captured-at": text.encode()}
    return replace(good, headers=tuple(headers.items()))


def test_a_parked_frame_keeps_the_time_that_its_camera_gave_it(line: Line) -> None:
    line.add_station("s2")
    frame = Frame("s2", EPOCH, encoded(part(1)), "image/png")
    line.publish_messages([schema.encode(frame, uuid4(), START, None)])
    assert line.drain().parked == 1
    line.add_normal_set("s2")
    line.drain()
    (verdict,) = line.verdicts("s2")
    assert (verdict.captured_at, verdict.stamped_at) == (START, EPOCH)


def test_metadata_of_any_length_and_bytes_becomes_a_verdict(line: Line) -> None:
    good = captured(START)
    texts = {"part-id": b"Los-" * 100 + b"\0\xff", "truth": b"x" * 1000, "content-type": b""}
    line.publish_messages([replace(good, headers=tuple((dict(good.headers) | texts).items()))])
    assert line.drain() == Progress(frames=1, verdicts=1)
    (verdict,) = line.verdicts()
    assert (len(verdict.part_id or ""), len(verdict.truth or "")) == (255, 120)
    assert verdict.content_type == "image/png"
