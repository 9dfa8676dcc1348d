"""The frames that a station asks about: which are asked, in which order, and when they are no longer."""

from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy.orm import Session

from storage.database.engine import Database
from storage.line import verdicts
from storage.line.normal_sets import NormalSet
from storage.review import review_queue, reviews
from storage.review.review_queue import QueueFilter
from storage.review.reviews import LabelSubmission
from tests.storage.examples import NOON, add_active_set, add_station, make_verdict

QUESTIONS = QueueFilter(only_questions=True)


def add_frames(session: Session, normal_set: NormalSet, *scores: float, review_limit: float = 0.4) -> list[UUID]:
    """Record one verdict per score, a second apart, oldest first; the threshold is 0.5."""
    recorded = [
        make_verdict(
            normal_set,
            at=NOON + timedelta(seconds=number),
            score=score,
            decision="flag" if score > 0.5 else "pass",
            review_limit=review_limit,
        )
        for number, score in enumerate(scores)
    ]
    verdicts.record(session, recorded)
    return [verdict.frame_id for verdict in recorded]


def queued(session: Session, filters: QueueFilter) -> list[UUID]:
    return [frame.frame_id for frame in review_queue.list_queued(session, filters)]


def label_defect(session: Session, frame: UUID) -> int:
    return reviews.submit(session, LabelSubmission(uuid4(), frame, "defect"), "mia", NOON).review.id


def test_frames_above_the_review_limit_are_queued_however_near_the_threshold_is(database: Database) -> None:
    with database.begin() as session:
        normal_set = add_active_set(session, add_station(session))
        _, _, far, near, flagged = add_frames(session, normal_set, 0.2, 0.4, 0.41, 0.5, 0.6)
        assert queued(session, QueueFilter()) == [flagged, near, far]
    with database.begin() as session:
        same_limits = add_active_set(session, add_station(session))
        add_frames(session, same_limits, 0.49, 0.5, review_limit=0.5)
        assert queued(session, QueueFilter(same_limits.station_id)) == []


def test_a_station_asks_about_frames_in_its_order_whether_they_were_queued_or_not(database: Database) -> None:
    with database.begin() as session:
        station = add_station(session)
        low, flagged, borderline, other = add_frames(session, add_active_set(session, station), 0.1, 0.9, 0.45, 0.2)
        review_queue.ask(session, station.id, [flagged, low, borderline])
        asked = review_queue.list_queued(session, QUESTIONS)
        assert [(one.frame_id, one.question) for one in asked] == [(flagged, 1), (low, 2), (borderline, 3)]
        assert review_queue.asked(session, station.id) == [flagged, low, borderline]
        assert (review_queue.questions(session), review_queue.count(session, QUESTIONS)) == ({station.id: 3}, 3)
        assert other not in queued(session, QueueFilter())


def test_new_questions_replace_the_former_ones_which_stay_in_the_queue(database: Database) -> None:
    with database.begin() as session:
        station = add_station(session)
        first, second, third = add_frames(session, add_active_set(session, station), 0.1, 0.9, 0.2)
        review_queue.ask(session, station.id, [first, second])
        review_queue.ask(session, station.id, [third, second])
        assert review_queue.asked(session, station.id) == [third, second]
        assert queued(session, QueueFilter()) == [third, second, first]
        review_queue.ask(session, station.id, [])
        assert (review_queue.asked(session, station.id), review_queue.questions(session)) == ([], {})


def test_asking_twice_changes_nothing(database: Database) -> None:
    with database.begin() as session:
        station = add_station(session)
        frames = add_frames(session, add_active_set(session, station), 0.1, 0.9, 0.45)
        review_queue.ask(session, station.id, frames)
        (claimed,) = review_queue.claim(session, "mia", QUESTIONS, NOON)
        once = review_queue.list_queued(session, QUESTIONS)
        review_queue.ask(session, station.id, frames)
        assert review_queue.list_queued(session, QUESTIONS) == once
        assert (once[0].frame_id, once[0].claimed_by) == (claimed.frame_id, "mia")


def test_frames_with_a_label_are_not_asked_about(database: Database) -> None:
    with database.begin() as session:
        station = add_station(session)
        labelled, asked, unknown = *add_frames(session, add_active_set(session, station), 0.9, 0.8), uuid4()
        label_defect(session, labelled)
        review_queue.ask(session, station.id, [labelled, unknown, asked])
        assert [(one.frame_id, one.question) for one in review_queue.list_queued(session, QUESTIONS)] == [(asked, 1)]
        label_defect(session, asked)
        assert (review_queue.questions(session), queued(session, QueueFilter())) == ({}, [])


def test_stations_ask_independently_of_each_other(database: Database) -> None:
    with database.begin() as session:
        one, other = add_station(session), add_station(session)
        (of_one,) = add_frames(session, add_active_set(session, one), 0.3)
        of_other = add_frames(session, add_active_set(session, other), 0.3, 0.2)
        review_queue.ask(session, one.id, [of_one])
        review_queue.ask(session, other.id, of_other)
        assert review_queue.questions(session) == {one.id: 1, other.id: 2}
        assert queued(session, QueueFilter(other.id, only_questions=True)) == of_other
        review_queue.ask(session, other.id, [])
        assert review_queue.asked(session, one.id) == [of_one]


def test_a_label_that_is_taken_back_does_not_ask_again_by_itself(database: Database) -> None:
    with database.begin() as session:
        station = add_station(session)
        (frame,) = add_frames(session, add_active_set(session, station), 0.9)
        review_queue.ask(session, station.id, [frame])
        reviews.retract(session, uuid4(), label_defect(session, frame), "mia", NOON)
        assert (queued(session, QueueFilter()), review_queue.questions(session)) == ([frame], {})
