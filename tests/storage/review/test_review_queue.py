"""Two people never get the same frame at once, and a reload returns the frames that a person had."""

from datetime import datetime, timedelta
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from uuid import UUID

from storage.database.engine import Database
from storage.line import verdicts
from storage.review import review_queue
from storage.review.review_queue import CLAIM_DURATION, QueueFilter
from testing.processes import forkserver
from tests.storage.examples import NOON, add_active_set, add_station, make_verdict

ANY = QueueFilter()


def add_flagged_frames(database: Database, how_many: int) -> list[UUID]:
    """Newest first."""
    with database.begin() as session:
        normal_set = add_active_set(session, add_station(session))
        made = [
            make_verdict(normal_set, decision="flag", score=0.7, at=NOON - timedelta(seconds=age))
            for age in range(how_many)
        ]
        verdicts.record(session, made)
    return [verdict.frame_id for verdict in made]


def claim(
    database: Database, person: str, at: datetime = NOON, how_many: int = 1, skip: list[UUID] | None = None
) -> list[UUID]:
    with database.begin() as session:
        claims = review_queue.claim(session, person, ANY, at, limit=how_many, skip=skip or [])
    return [frame.frame_id for frame in claims]


def test_each_person_gets_different_frames_and_a_reload_the_same(database: Database) -> None:
    first, second, third, fourth = add_flagged_frames(database, 4)
    assert claim(database, "mia", how_many=2) == [first, second]
    assert claim(database, "leo") == [third]
    assert claim(database, "mia", how_many=2) == [first, second]
    assert claim(database, "mia", how_many=3) == [first, second, fourth]
    assert claim(database, "leo", how_many=5) == [third]
    assert claim(database, "leo", how_many=5, skip=[third]) == []


def test_a_claim_expires_and_can_be_renewed_or_released(database: Database) -> None:
    (frame,) = add_flagged_frames(database, 1)
    claim(database, "mia")
    before_expiry = NOON + CLAIM_DURATION - timedelta(seconds=1)
    assert claim(database, "leo", before_expiry) == []
    with database.begin() as session:
        assert review_queue.renew(session, "mia", [frame], before_expiry) == {frame}
    assert claim(database, "leo", NOON + CLAIM_DURATION) == []
    assert claim(database, "leo", before_expiry + CLAIM_DURATION) == [frame]
    with database.begin() as session:
        assert review_queue.renew(session, "mia", [frame], before_expiry + CLAIM_DURATION) == set()
        review_queue.release(session, "leo")
    assert claim(database, "mia", before_expiry + CLAIM_DURATION) == [frame]


def claim_all(url: str, person: str, barrier: Barrier, claims: "Queue[tuple[str, UUID]]") -> None:
    database = Database(url)
    barrier.wait(120)
    claimed: list[UUID] = []
    while True:
        with database.begin() as session:
            frames = review_queue.claim(session, person, ANY, NOON, limit=2, skip=claimed)
        if not frames:
            break
        claimed += [frame.frame_id for frame in frames]
    for frame_id in claimed:
        claims.put((person, frame_id))
    database.close()


def test_concurrent_claims_hand_out_each_frame_once(database: Database, database_url: str) -> None:
    frames = add_flagged_frames(database, 60)
    barrier, claims = forkserver.Barrier(3), forkserver.Queue()
    people = ("mia", "leo", "ana")
    processes = [
        forkserver.Process(target=claim_all, args=(database_url, person, barrier, claims)) for person in people
    ]
    for process in processes:
        process.start()
    claimed_frames = [claims.get(timeout=150) for _ in frames]
    for process in processes:
        process.join(150)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sorted(frame_id for _, frame_id in claimed_frames) == sorted(frames)
    assert claims.empty()
