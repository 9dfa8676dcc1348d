"""Two people never get the same frame at once, and a reload returns the frames that a person had."""

import multiprocessing
from datetime import datetime, timedelta
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from uuid import UUID

from storage.database.engine import Database
from storage.line import verdicts
from storage.review import review_queue
from storage.review.review_queue import CLAIM_DURATION, QueueFilter
from tests.storage.examples import NOON, a_station, a_verdict, an_active_set

ANY = QueueFilter()


def flagged(database: Database, how_many: int) -> list[UUID]:
    """Newest first."""
    with database.begin() as session:
        of = an_active_set(session, a_station(session))
        made = [a_verdict(of, decision="flag", score=0.7, at=NOON - timedelta(seconds=age)) for age in range(how_many)]
        verdicts.record(session, made)
    return [verdict.frame_id for verdict in made]


def claimed(
    database: Database, who: str, at: datetime = NOON, how_many: int = 1, skip: list[UUID] | None = None
) -> list[UUID]:
    with database.begin() as session:
        got = review_queue.claim(session, who, ANY, at, limit=how_many, skip=skip or [])
    return [frame.frame_id for frame in got]


def test_each_person_gets_other_frames_and_a_reload_the_same(database: Database) -> None:
    first, second, third, fourth = flagged(database, 4)
    assert claimed(database, "mia", how_many=2) == [first, second]
    assert claimed(database, "leo") == [third]
    assert claimed(database, "mia", how_many=2) == [first, second]
    assert claimed(database, "mia", how_many=3) == [first, second, fourth]
    assert claimed(database, "leo", how_many=5) == [third]
    assert claimed(database, "leo", how_many=5, skip=[third]) == []


def test_a_claim_ends_by_itself_and_can_be_renewed_or_given_back(database: Database) -> None:
    (frame,) = flagged(database, 1)
    claimed(database, "mia")
    nearly = NOON + CLAIM_DURATION - timedelta(seconds=1)
    assert claimed(database, "leo", nearly) == []
    with database.begin() as session:
        assert review_queue.renew(session, "mia", [frame], nearly) == {frame}
    assert claimed(database, "leo", NOON + CLAIM_DURATION) == []
    assert claimed(database, "leo", nearly + CLAIM_DURATION) == [frame]
    with database.begin() as session:
        assert review_queue.renew(session, "mia", [frame], nearly + CLAIM_DURATION) == set()
        review_queue.release(session, "leo")
    assert claimed(database, "mia", nearly + CLAIM_DURATION) == [frame]


def take_all(url: str, who: str, together: Barrier, got: "Queue[tuple[str, UUID]]") -> None:
    database = Database(url)
    together.wait(120)
    taken: list[UUID] = []
    while True:
        with database.begin() as session:
            frames = review_queue.claim(session, who, ANY, NOON, limit=2, skip=taken)
        if not frames:
            break
        taken += [frame.frame_id for frame in frames]
    for frame_id in taken:
        got.put((who, frame_id))
    database.close()


def test_people_who_claim_at_the_same_moment_get_each_frame_once(database: Database, database_url: str) -> None:
    frames = flagged(database, 60)
    spawning = multiprocessing.get_context("spawn")
    together, got = spawning.Barrier(3), spawning.Queue()
    people = ("mia", "leo", "ana")
    processes = [spawning.Process(target=take_all, args=(database_url, who, together, got)) for who in people]
    for process in processes:
        process.start()
    handed_out = [got.get(timeout=150) for _ in frames]
    for process in processes:
        process.join(150)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sorted(frame_id for _, frame_id in handed_out) == sorted(frames)
    assert got.empty()
