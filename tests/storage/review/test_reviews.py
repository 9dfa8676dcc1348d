"""Reviews: no label is lost or counted twice, and the label in force follows from the history."""

from collections import Counter
from datetime import timedelta
from multiprocessing.synchronize import Barrier
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from storage.database.engine import Database
from storage.database.tables import ReviewRow
from storage.errors import InvalidChange, NotFound
from storage.learning import stream_scores
from storage.line import verdicts
from storage.line.normal_sets import NormalSet
from storage.review import labels, review_queue, reviews
from storage.review.labels import Label, LabelCounts
from storage.review.review_queue import QueueFilter
from storage.review.reviews import LabelSubmission
from testing.processes import forkserver
from tests.storage.examples import NOON, add_active_set, add_station, make_verdict

LATER = NOON + timedelta(minutes=1)


def add_frames(session: Session, normal_set: NormalSet, *scores: float, threshold: float = 0.5) -> list[UUID]:
    """Record one verdict per score, a second apart, oldest first; flagged above the threshold."""
    recorded = [
        make_verdict(
            normal_set,
            at=NOON + timedelta(seconds=number),
            score=score,
            threshold=threshold,
            decision="flag" if score > threshold else "pass",
        )
        for number, score in enumerate(scores)
    ]
    verdicts.record(session, recorded)
    return [verdict.frame_id for verdict in recorded]


def submit_label(session: Session, frame: UUID, label: Label, by: str = "mia", tags: tuple[str, ...] = ()) -> int:
    return reviews.submit(session, LabelSubmission(uuid4(), frame, label, tags), by, LATER).review.id


def labels_in_force(session: Session, *frame_ids: UUID) -> list[str | None]:
    found = labels.current(session, frame_ids)
    return [found[frame].label if frame in found else None for frame in frame_ids]


def test_flagged_and_borderline_frames_are_queued_newest_or_most_uncertain_first(database: Database) -> None:
    with database.begin() as session:
        normal_set = add_active_set(session, add_station(session))
        far, clear, near, border = add_frames(session, normal_set, 0.75, 0.3, 0.52, 0.46)
        unscored = [make_verdict(normal_set, decision=decision) for decision in ("no_reference", "bad_picture")]
        verdicts.record(session, unscored)
        assert [one.frame_id for one in review_queue.list_queued(session, QueueFilter())] == [border, near, far]
        uncertain = review_queue.list_queued(session, QueueFilter(order="most_uncertain"))
        assert [one.frame_id for one in uncertain] == [near, border, far]
        assert [one.margin for one in uncertain] == pytest.approx([0.04, 0.08, 0.5])
        assert review_queue.count(session, QueueFilter(borderline=0.05)) == 2
        submit_label(session, near, "defect")
        submit_label(session, clear, "defect")  # never queued: an escape that was found later
        assert [one.frame_id for one in review_queue.list_queued(session, QueueFilter())] == [border, far]


def test_recording_a_frame_again_does_not_queue_it_again(database: Database) -> None:
    with database.begin() as session:
        normal_set = add_active_set(session, add_station(session))
        verdict = make_verdict(normal_set, decision="flag", score=0.7)
        verdicts.record(session, [verdict])
        submit_label(session, verdict.frame_id, "defect")
        verdicts.record(session, [verdict])
        assert review_queue.count(session, QueueFilter()) == 0


def test_the_margin_of_a_zero_or_negative_threshold_is_defined() -> None:
    assert review_queue.relative_margin(0.25, 0.0) == 0.25
    assert review_queue.relative_margin(-1.5, -1.0) == 0.5


def test_the_newest_label_is_in_force_and_its_retraction_restores_the_one_before(database: Database) -> None:
    with database.begin() as session:
        (frame,) = add_frames(session, add_active_set(session, add_station(session)), 0.75)
        first, second = submit_label(session, frame, "defect"), submit_label(session, frame, "false_alarm", by="leo")
        assert labels_in_force(session, frame) == ["false_alarm"]
        with pytest.raises(InvalidChange):
            reviews.retract(session, uuid4(), first, "mia", LATER)
        assert reviews.retract(session, uuid4(), second, "leo", LATER).is_new
        assert labels_in_force(session, frame) == ["defect"]
        assert review_queue.count(session, QueueFilter()) == 0
        reviews.retract(session, uuid4(), first, "mia", LATER)
        assert labels_in_force(session, frame) == [None]
        (waiting,) = review_queue.list_queued(session, QueueFilter())
        assert (waiting.frame_id, waiting.claimed_by) == (frame, "mia")  # claimed by the person who retracted
        assert [one.label for one in reviews.history(session, frame)] == [
            "retracted",
            "retracted",
            "false_alarm",
            "defect",
        ]


def test_retracting_twice_records_one_retraction(database: Database) -> None:
    with database.begin() as session:
        (frame,) = add_frames(session, add_active_set(session, add_station(session)), 0.75)
        submit_label(session, frame, "defect")
        second = submit_label(session, frame, "unsure")
        once = reviews.retract(session, uuid4(), second, "mia", LATER)
        again = reviews.retract(session, uuid4(), second, "mia", LATER)
        assert (again.review, again.is_new) == (once.review, False)
        assert labels_in_force(session, frame) == ["defect"]


def test_a_submission_with_a_used_key_is_recorded_once_even_after_an_undo(database: Database) -> None:
    with database.begin() as session:
        (frame,) = add_frames(session, add_active_set(session, add_station(session)), 0.75)
        submission = LabelSubmission(uuid4(), frame, "defect", ("scratch", "scratch", "dent"), "left edge")
        first = reviews.submit(session, submission, "mia", LATER)
        assert reviews.submit(session, submission, "mia", LATER).is_new is False
        assert first.review.tags == ("scratch", "dent")
        reviews.retract(session, uuid4(), first.review.id, "mia", LATER)
        assert reviews.submit(session, submission, "mia", LATER).is_new is False  # a second tab with an old page
        assert labels_in_force(session, frame) == [None]
        assert review_queue.count(session, QueueFilter()) == 1
        with pytest.raises(InvalidChange):
            reviews.submit(session, LabelSubmission(submission.idempotency_key, frame, "unsure"), "mia", LATER)


def test_labels_are_recorded_all_or_none(database: Database) -> None:
    with database.begin() as session:
        known = add_frames(session, add_active_set(session, add_station(session)), 0.75, 0.8)
    with pytest.raises(NotFound), database.begin() as session:
        reviews.submit_all(
            session, [LabelSubmission(uuid4(), frame, "defect") for frame in (*known, uuid4())], "mia", LATER
        )
    with database.read() as session:
        assert labels_in_force(session, *known) == [None, None]


@pytest.mark.parametrize(
    ("label", "tags"), [("good", ()), ("defect", ("",)), ("defect", tuple(str(number) for number in range(17)))]
)
def test_an_invalid_label_is_refused(database: Database, label: Label, tags: tuple[str, ...]) -> None:
    with database.begin() as session:
        (frame,) = add_frames(session, add_active_set(session, add_station(session)), 0.75)
        with pytest.raises(InvalidChange):
            reviews.submit(session, LabelSubmission(uuid4(), frame, label, tags), "mia", LATER)


@pytest.mark.parametrize("change", ["UPDATE reviews SET label = 'unsure'", "DELETE FROM reviews"])
def test_reviews_cannot_be_changed_even_by_sql(database: Database, change: str) -> None:
    with database.begin() as session:
        (frame,) = add_frames(session, add_active_set(session, add_station(session)), 0.75)
        submit_label(session, frame, "defect")
    with pytest.raises(IntegrityError), database.begin() as session:
        session.execute(text(change))


def test_false_rejects_and_escapes_are_counted_in_a_time_range(database: Database) -> None:
    with database.begin() as session:
        one, other = add_station(session), add_station(session)
        flagged, caught, missed, good, late = add_frames(session, add_active_set(session, one), 0.7, 0.8, 0.4, 0.3, 0.9)
        (elsewhere,) = add_frames(session, add_active_set(session, other), 0.7)
        submit_label(session, flagged, "false_alarm")
        submit_label(session, caught, "defect", tags=("scratch", "dent"))
        escape = submit_label(session, missed, "defect", tags=("scratch",))
        submit_label(session, good, "false_alarm")
        submit_label(session, late, "defect")
        submit_label(session, elsewhere, "unsure")
        until = NOON + timedelta(seconds=4)
        assert labels.counts(session, one.id, until=until) == [
            LabelCounts(one.id, flagged_defect=1, flagged_false_alarm=1, passed_defect=1, passed_false_alarm=1)
        ]
        assert [counts.station_id for counts in labels.counts(session)] == sorted([one.id, other.id])
        assert labels.tag_counts(session, one.id) == Counter({"scratch": 2, "dent": 1, "": 1})
        assert reviews.get(session, escape).is_escape
        assert [each.frame_id for each in labels.recent(session, one.id, label="defect")] == [late, missed, caught]


def test_the_stream_of_a_station_has_its_scored_frames_newest_first_with_their_labels(database: Database) -> None:
    with database.begin() as session:
        station = add_station(session)
        normal_set = add_active_set(session, station)
        alarm, flagged, passed, missed = add_frames(session, normal_set, 0.7, 0.9, 0.3, 0.4)
        verdicts.record(session, [make_verdict(normal_set, decision="bad_picture")])
        submit_label(session, alarm, "false_alarm")
        submit_label(session, missed, "defect")
        key = station.id, normal_set.id, "0c5f"
        found = stream_scores.recent(session, *key, NOON)
        assert [(one.frame_id, one.score, one.label) for one in found] == [
            (missed, 0.4, "defect"),
            (passed, 0.3, None),
            (flagged, 0.9, None),
            (alarm, 0.7, "false_alarm"),
        ]
        assert [one.decision for one in found] == ["pass", "pass", "flag", "flag"]
        assert stream_scores.recent(session, *key, NOON, limit=2) == found[:2]
        assert stream_scores.recent(session, *key, NOON + timedelta(seconds=3)) == found[:1]
        assert stream_scores.recent(session, station.id, normal_set.id, "another", NOON) == []
        another_set = add_active_set(session, station)
        assert stream_scores.recent(session, station.id, another_set.id, "0c5f", NOON) == []


def test_pages_of_reviews_follow_one_another(database: Database) -> None:
    with database.begin() as session:
        station = add_station(session)
        for frame in add_frames(session, add_active_set(session, station), 0.7, 0.8, 0.9):
            submit_label(session, frame, "defect")
        first = reviews.recent(session, station.id, by="mia", limit=2)
        rest = reviews.recent(session, station.id, by="mia", before_id=first[-1].id)
        assert len(first) == 2
        assert [one.id for one in (*first, *rest)] == sorted((one.id for one in (*first, *rest)), reverse=True)
        assert len(rest) == 1


Steps = st.lists(st.tuples(st.sampled_from(["defect", "false_alarm", "unsure", "undo", "again"]), st.integers(0, 2)))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=Steps)
def test_any_sequence_of_labels_and_retractions_behaves_like_a_stack(
    database: Database, steps: list[tuple[str, int]]
) -> None:
    with database.begin() as session:
        frame_ids = add_frames(session, add_active_set(session, add_station(session)), 0.6, 0.7, 0.8)
        stacks: dict[UUID, list[tuple[int, str]]] = {frame: [] for frame in frame_ids}
        last: LabelSubmission | None = None
        for step, number in steps:
            frame = frame_ids[number]
            if step == "undo":
                if stacks[frame]:
                    reviews.retract(session, uuid4(), stacks[frame].pop()[0], "mia", LATER)
            elif step == "again":
                if last is not None:
                    assert not reviews.submit(session, last, "mia", LATER).is_new
            else:
                last = LabelSubmission(uuid4(), frame, step)  # type: ignore[arg-type]
                stacks[frame].append((reviews.submit(session, last, "mia", LATER).review.id, step))
        assert labels_in_force(session, *frame_ids) == [stack[-1][1] if stack else None for stack in stacks.values()]
        waiting = {one.frame_id for one in review_queue.list_queued(session, QueueFilter())} & set(frame_ids)
        assert waiting == {frame for frame, stack in stacks.items() if not stack}


def submit_labels(url: str, submissions: list[LabelSubmission], by: str, barrier: Barrier) -> None:
    database = Database(url)
    barrier.wait(120)
    for submission in submissions:
        with database.begin() as session:
            reviews.submit(session, submission, by, LATER)
    database.close()


def test_concurrent_submissions_are_each_recorded_once(database: Database, database_url: str) -> None:
    with database.begin() as session:
        frame_ids = add_frames(session, add_active_set(session, add_station(session)), *[0.7] * 50)
    labels_of_mia = [LabelSubmission(uuid4(), frame, "defect") for frame in frame_ids]
    labels_of_leo = [LabelSubmission(uuid4(), frame, "false_alarm") for frame in frame_ids]
    barrier = forkserver.Barrier(3)
    processes = [
        forkserver.Process(target=submit_labels, args=(database_url, submissions, by, barrier))
        for submissions, by in ((labels_of_mia, "mia"), (labels_of_mia, "mia"), (labels_of_leo, "leo"))
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(150)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(ReviewRow)) == 100
        newest = {frame: reviews.history(session, frame)[0].label for frame in frame_ids}
        assert labels_in_force(session, *frame_ids) == [newest[frame] for frame in frame_ids]
        assert review_queue.count(session, QueueFilter()) == 0


def test_labels_of_a_person_are_counted_without_retracted_ones(database: Database) -> None:
    hour = timedelta(hours=1)
    with database.begin() as session:
        recorded = add_frames(session, add_active_set(session, add_station(session)), *[0.75] * 6)
        results = [
            reviews.submit(session, LabelSubmission(uuid4(), frame, "defect"), "ann", NOON + number * hour)
            for number, frame in enumerate(recorded[:5])
        ]
        reviews.submit(session, LabelSubmission(uuid4(), recorded[5], "defect"), "ben", NOON + 9 * hour)
        reviews.retract(session, uuid4(), results[4].review.id, "ann", NOON + 9 * hour)
        assert reviews.count_labelled_since(session, "ann", NOON) == 4
        assert reviews.count_labelled_since(session, "ann", NOON + 3 * hour) == 1
        assert reviews.count_labelled_since(session, "nobody", NOON) == 0
