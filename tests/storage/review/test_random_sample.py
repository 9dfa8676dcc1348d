"""The random sample: drawn by frame id alone, queued like any other frame, and marked for good."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.database.engine import Database
from storage.line import stations, verdicts
from storage.line.stations import StationSettings
from storage.line.verdicts import Verdict
from storage.review import labels, review_queue, reviews, search
from storage.review.labels import LabelCounts
from storage.review.random_sample import is_sampled
from storage.review.review_queue import QueueFilter
from storage.review.reviews import LabelSubmission
from tests.storage.examples import NOON, add_active_set, add_station, make_verdict

SAMPLE = QueueFilter(only_sampled=True)


@given(st.uuids(), st.integers(1, 10_000), st.integers(1, 10_000))
def test_a_larger_sample_contains_the_smaller_one(frame: UUID, one_in: int, fewer: int) -> None:
    assert is_sampled(frame, one_in) or not is_sampled(frame, one_in + fewer)
    assert is_sampled(frame, 1)
    assert not is_sampled(frame, 0)


def test_sequential_ids_are_sampled_at_the_configured_rate() -> None:
    drawn = sum(is_sampled(UUID(int=number), 50) for number in range(100_000))
    assert abs(drawn - 2000) < 4 * (2000 * 49 / 50) ** 0.5  # four standard deviations of the binomial


@pytest.fixture
def frames(database: Database) -> list[Verdict]:
    """A flagged frame, one far below the threshold and one without reference, of a station that draws all that pass."""
    with database.begin() as session:
        normal_set = add_active_set(session, add_station(session, "s1"))
        stations.edit(session, "s1", StationSettings(sample_one_in=1))
        frames = [
            make_verdict(normal_set, decision="flag", score=0.7),
            make_verdict(normal_set, score=0.1, at=NOON + timedelta(seconds=1)),
            make_verdict(normal_set, decision="no_reference"),
        ]
        verdicts.record(session, frames)
    return frames


def test_a_sampled_frame_is_queued_however_far_from_the_threshold(database: Database, frames: list[Verdict]) -> None:
    flagged, passed, _ = frames
    with database.read() as session:
        assert [(queued.frame_id, queued.sampled) for queued in review_queue.list_queued(session, QueueFilter())] == [
            (passed.frame_id, True),
            (flagged.frame_id, False),
        ]
        assert [queued.frame_id for queued in review_queue.list_queued(session, SAMPLE)] == [passed.frame_id]
        assert review_queue.count(session, SAMPLE) == 1
        assert review_queue.count(session, QueueFilter(borderline=0.05)) == 1


def test_a_frame_stays_sampled_after_labels_and_undo(database: Database, frames: list[Verdict]) -> None:
    passed = frames[1]
    with database.begin() as session:
        first = reviews.submit(session, LabelSubmission(uuid4(), passed.frame_id, "false_alarm"), "mia", NOON).review
        reviews.retract(session, uuid4(), first.id, "mia", NOON)
        assert review_queue.count(session, SAMPLE) == 1
        reviews.submit(session, LabelSubmission(uuid4(), passed.frame_id, "unsure"), "leo", NOON)
        reviews.submit(session, LabelSubmission(uuid4(), passed.frame_id, "defect"), "mia", NOON)
        assert review_queue.count(session, SAMPLE) == 0
        assert labels.counts(session) == [LabelCounts(passed.station_id, passed_defect=1, sampled_defect=1)]


def test_a_station_without_sampling_queues_only_borderline_frames(database: Database, frames: list[Verdict]) -> None:
    passed = frames[1]
    with database.begin() as session:
        stations.edit(session, "s1", StationSettings(sample_one_in=0))
        verdicts.record(session, [replace(passed, frame_id=uuid4()), replace(passed, frame_id=uuid4(), score=0.49)])
        assert [queued.sampled for queued in review_queue.list_queued(session, QueueFilter())].count(True) == 1
        assert review_queue.count(session, QueueFilter()) == 3


def test_a_part_is_found_without_a_time_range(database: Database, frames: list[Verdict]) -> None:
    with database.read() as session:
        found = search.by_part(session, frames[0].station_id, "part 7")
        assert {queued.frame_id for queued in found} == {queued.frame_id for queued in frames}
        assert search.by_part(session, frames[0].station_id, "part 8") == []
