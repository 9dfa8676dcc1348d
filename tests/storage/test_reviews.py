"""A person's word on a verdict: nothing is lost, nothing counts twice, and what counts follows from what was said."""

import multiprocessing
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

from storage import accepted, review_queue, reviewed, reviews, verdicts
from storage.database import Database
from storage.errors import NotFound, RuleBroken
from storage.normal_sets import NormalSet
from storage.review_queue import Wanted
from storage.reviewed import ReviewCounts, Word
from storage.reviews import Saying
from storage.tables import ReviewRow
from tests.storage.examples import NOON, a_station, a_verdict, an_active_set

LATER = NOON + timedelta(minutes=1)


def frames(session: Session, of: NormalSet, *scores: float, threshold: float = 0.5) -> list[UUID]:
    """One verdict a score, a second apart, oldest first; flagged above the threshold."""
    made = [
        a_verdict(
            of,
            at=NOON + timedelta(seconds=number),
            score=score,
            threshold=threshold,
            decision="flag" if score > threshold else "pass",
        )
        for number, score in enumerate(scores)
    ]
    verdicts.record(session, made)
    return [verdict.frame_id for verdict in made]


def said(session: Session, frame: UUID, word: Word, by: str = "mia", tags: tuple[str, ...] = ()) -> int:
    return reviews.say(session, Saying(uuid4(), frame, word, tags), by, LATER).review.id


def words(session: Session, *which: UUID) -> list[str | None]:
    found = reviewed.current(session, which)
    return [found[frame].word if frame in found else None for frame in which]


def test_flagged_and_borderline_frames_wait_newest_or_most_uncertain_first(database: Database) -> None:
    with database.begin() as session:
        of = an_active_set(session, a_station(session))
        far, clear, near, border = frames(session, of, 0.75, 0.3, 0.52, 0.46)
        verdicts.record(session, [a_verdict(of, decision="no_reference")])
        assert [one.frame_id for one in review_queue.waiting(session, Wanted())] == [border, near, far]
        uncertain = review_queue.waiting(session, Wanted(order="most_uncertain"))
        assert [one.frame_id for one in uncertain] == [near, border, far]
        assert [one.margin for one in uncertain] == pytest.approx([0.04, 0.08, 0.5])
        assert review_queue.count(session, Wanted(borderline=0.05)) == 2
        said(session, near, "defect")
        said(session, clear, "defect")  # one that never waited: found later on, it was missed
        assert [one.frame_id for one in review_queue.waiting(session, Wanted())] == [border, far]


def test_recording_a_frame_again_does_not_make_it_wait_again(database: Database) -> None:
    with database.begin() as session:
        of = an_active_set(session, a_station(session))
        verdict = a_verdict(of, decision="flag", score=0.7)
        verdicts.record(session, [verdict])
        said(session, verdict.frame_id, "defect")
        verdicts.record(session, [verdict])
        assert review_queue.count(session, Wanted()) == 0


def test_a_threshold_of_nothing_has_a_margin_too() -> None:
    assert review_queue.margin(0.25, 0.0) == 0.25
    assert review_queue.margin(-1.5, -1.0) == 0.5


def test_the_newest_word_counts_and_taking_it_back_brings_the_one_before(database: Database) -> None:
    with database.begin() as session:
        (frame,) = frames(session, an_active_set(session, a_station(session)), 0.75)
        first, second = said(session, frame, "defect"), said(session, frame, "false_alarm", by="leo")
        assert words(session, frame) == ["false_alarm"]
        with pytest.raises(RuleBroken, match="Only the newest word"):
            reviews.take_back(session, uuid4(), first, "mia", LATER)
        assert reviews.take_back(session, uuid4(), second, "leo", LATER).is_new
        assert words(session, frame) == ["defect"]
        assert review_queue.count(session, Wanted()) == 0
        reviews.take_back(session, uuid4(), first, "mia", LATER)
        assert words(session, frame) == [None]
        (waiting,) = review_queue.waiting(session, Wanted())
        assert (waiting.frame_id, waiting.claimed_by) == (frame, "mia")  # undo shows it again, to who undid
        assert [one.word for one in reviews.history(session, frame)] == [
            "taken_back",
            "taken_back",
            "false_alarm",
            "defect",
        ]


def test_taking_back_twice_takes_back_once(database: Database) -> None:
    with database.begin() as session:
        (frame,) = frames(session, an_active_set(session, a_station(session)), 0.75)
        said(session, frame, "defect")
        second = said(session, frame, "unsure")
        once = reviews.take_back(session, uuid4(), second, "mia", LATER)
        again = reviews.take_back(session, uuid4(), second, "mia", LATER)
        assert (again.review, again.is_new) == (once.review, False)
        assert words(session, frame) == ["defect"]


def test_what_is_said_again_with_its_id_counts_once_even_after_an_undo(database: Database) -> None:
    with database.begin() as session:
        (frame,) = frames(session, an_active_set(session, a_station(session)), 0.75)
        saying = Saying(uuid4(), frame, "defect", ("scratch", "scratch", "dent"), "left edge")
        first = reviews.say(session, saying, "mia", LATER)
        assert reviews.say(session, saying, "mia", LATER).is_new is False
        assert first.review.tags == ("scratch", "dent")
        reviews.take_back(session, uuid4(), first.review.id, "mia", LATER)
        assert reviews.say(session, saying, "mia", LATER).is_new is False  # a second tab that was left behind
        assert words(session, frame) == [None]
        assert review_queue.count(session, Wanted()) == 1
        with pytest.raises(RuleBroken, match="used for another word already"):
            reviews.say(session, Saying(saying.said_id, frame, "unsure"), "mia", LATER)


def test_words_are_kept_all_or_none(database: Database) -> None:
    with database.begin() as session:
        known = frames(session, an_active_set(session, a_station(session)), 0.75, 0.8)
    with pytest.raises(NotFound, match="no verdict on frame"), database.begin() as session:
        reviews.say_all(session, [Saying(uuid4(), frame, "defect") for frame in (*known, uuid4())], "mia", LATER)
    with database.read() as session:
        assert words(session, *known) == [None, None]


@pytest.mark.parametrize(
    ("word", "tags"), [("good", ()), ("defect", ("",)), ("defect", tuple(str(number) for number in range(17)))]
)
def test_a_word_that_can_not_be_meant_is_refused(database: Database, word: Word, tags: tuple[str, ...]) -> None:
    with database.begin() as session:
        (frame,) = frames(session, an_active_set(session, a_station(session)), 0.75)
        with pytest.raises(RuleBroken):
            reviews.say(session, Saying(uuid4(), frame, word, tags), "mia", LATER)


@pytest.mark.parametrize("change", ["UPDATE reviews SET word = 'unsure'", "DELETE FROM reviews"])
def test_what_was_said_can_not_be_unsaid_even_by_hand(database: Database, change: str) -> None:
    with database.begin() as session:
        (frame,) = frames(session, an_active_set(session, a_station(session)), 0.75)
        said(session, frame, "defect")
    with pytest.raises(IntegrityError, match="reviews is append-only"), database.begin() as session:
        session.execute(text(change))


def test_counts_tell_false_rejects_and_escapes_of_a_span(database: Database) -> None:
    with database.begin() as session:
        one, other = a_station(session), a_station(session)
        flagged, caught, missed, good, late = frames(session, an_active_set(session, one), 0.7, 0.8, 0.4, 0.3, 0.9)
        (elsewhere,) = frames(session, an_active_set(session, other), 0.7)
        said(session, flagged, "false_alarm")
        said(session, caught, "defect", tags=("scratch", "dent"))
        escape = said(session, missed, "defect", tags=("scratch",))
        said(session, good, "false_alarm")
        said(session, late, "defect")
        said(session, elsewhere, "unsure")
        until = NOON + timedelta(seconds=4)
        assert reviewed.counts(session, one.id, until=until) == [
            ReviewCounts(one.id, flagged_defect=1, flagged_false_alarm=1, passed_defect=1, passed_false_alarm=1)
        ]
        assert [counts.station_id for counts in reviewed.counts(session)] == sorted([one.id, other.id])
        assert reviewed.tag_counts(session, one.id) == Counter({"scratch": 2, "dent": 1, "": 1})
        assert reviews.get(session, escape).is_escape
        assert [each.frame_id for each in reviewed.recent(session, one.id, word="defect")] == [late, missed, caught]


def test_accepted_scores_leave_out_defects_and_say_what_is_missing(database: Database) -> None:
    with database.begin() as session:
        station = a_station(session)
        of = an_active_set(session, station)
        alarm, _, _, missed = frames(session, of, 0.7, 0.9, 0.3, 0.4)
        said(session, alarm, "false_alarm")
        said(session, missed, "defect")
        found = accepted.scores(session, station.id, of.id, "0c5f", NOON)
        assert (found.scores, found.flagged_unreviewed) == ((0.3, 0.7), 1)
        assert accepted.scores(session, station.id, of.id, "another", NOON).scores == ()


def test_pages_of_words_follow_one_another(database: Database) -> None:
    with database.begin() as session:
        station = a_station(session)
        for frame in frames(session, an_active_set(session, station), 0.7, 0.8, 0.9):
            said(session, frame, "defect")
        first = reviews.recent(session, station.id, by="mia", limit=2)
        rest = reviews.recent(session, station.id, by="mia", before_id=first[-1].id)
        assert len(first) == 2
        assert [one.id for one in (*first, *rest)] == sorted((one.id for one in (*first, *rest)), reverse=True)
        assert len(rest) == 1


Steps = st.lists(st.tuples(st.sampled_from(["defect", "false_alarm", "unsure", "undo", "again"]), st.integers(0, 2)))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=Steps)
def test_whatever_is_said_taken_back_and_said_again_the_stack_says_what_counts(
    database: Database, steps: list[tuple[str, int]]
) -> None:
    with database.begin() as session:
        which = frames(session, an_active_set(session, a_station(session)), 0.6, 0.7, 0.8)
        stacks: dict[UUID, list[tuple[int, str]]] = {frame: [] for frame in which}
        last: Saying | None = None
        for step, number in steps:
            frame = which[number]
            if step == "undo":
                if stacks[frame]:
                    reviews.take_back(session, uuid4(), stacks[frame].pop()[0], "mia", LATER)
            elif step == "again":
                if last is not None:
                    assert not reviews.say(session, last, "mia", LATER).is_new
            else:
                last = Saying(uuid4(), frame, step)  # type: ignore[arg-type]
                stacks[frame].append((reviews.say(session, last, "mia", LATER).review.id, step))
        assert words(session, *which) == [stack[-1][1] if stack else None for stack in stacks.values()]
        waiting = {one.frame_id for one in review_queue.waiting(session, Wanted())} & set(which)
        assert waiting == {frame for frame, stack in stacks.items() if not stack}


def speak(url: str, sayings: list[Saying], by: str, together: Barrier) -> None:
    database = Database(url)
    together.wait(120)
    for saying in sayings:
        with database.begin() as session:
            reviews.say(session, saying, by, LATER)
    database.close()


def test_a_hundred_words_of_two_tabs_and_two_people_are_all_kept_once(database: Database, database_url: str) -> None:
    with database.begin() as session:
        which = frames(session, an_active_set(session, a_station(session)), *[0.7] * 50)
    mine = [Saying(uuid4(), frame, "defect") for frame in which]
    theirs = [Saying(uuid4(), frame, "false_alarm") for frame in which]
    spawning = multiprocessing.get_context("spawn")
    together = spawning.Barrier(3)
    processes = [
        spawning.Process(target=speak, args=(database_url, sayings, by, together))
        for sayings, by in ((mine, "mia"), (mine, "mia"), (theirs, "leo"))
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(150)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(ReviewRow)) == 100
        newest = {frame: reviews.history(session, frame)[0].word for frame in which}
        assert words(session, *which) == [newest[frame] for frame in which]
        assert review_queue.count(session, Wanted()) == 0
