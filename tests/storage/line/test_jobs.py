"""A job is done by one scorer, and by another one when that dies."""

from datetime import timedelta
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

from storage.database.engine import Database
from storage.line import jobs
from storage.line.jobs import HEARTBEAT_TIMEOUT, MAX_TRIES
from testing.processes import forkserver
from tests.storage.examples import NOON, add_station

KINDS: tuple[jobs.JobKind, ...] = ("what_if", "golden")
LOST = NOON + HEARTBEAT_TIMEOUT + timedelta(seconds=1)


def enqueue_jobs(database: Database, how_many: int = 1) -> list[int]:
    with database.begin() as session:
        station = add_station(session)
        return [jobs.enqueue(session, "what_if", station.id, {"version": 2}, "mia", NOON).id for _ in range(how_many)]


def test_a_job_is_claimed_reports_progress_and_finishes(database: Database) -> None:
    first, second = enqueue_jobs(database, 2)
    with database.begin() as session:
        assert jobs.has_available(session, KINDS, NOON)
        claimed = jobs.claim(session, "w1", KINDS, NOON)
        assert claimed is not None
        assert (claimed.id, claimed.state, claimed.claimed_by, claimed.tries, dict(claimed.payload)) == (
            first,
            "running",
            "w1",
            1,
            {"version": 2},
        )
        assert jobs.claim(session, "w2", ["golden"], NOON) is None
        assert jobs.heartbeat(session, first, "w1", NOON, 3, 10)
        assert not jobs.heartbeat(session, first, "w2", NOON, 9, 10)
        assert jobs.finish(session, first, "w1", {"answer": 1.5}, NOON)
        done = jobs.get(session, first)
        assert (done.state, done.progress, done.total, done.result, done.is_over) == (
            "done",
            3,
            10,
            {"answer": 1.5},
            True,
        )
        assert not jobs.fail(session, first, "w1", "late", NOON)
        assert [job.id for job in jobs.recent(session)] == [second, first]


def test_a_cancelled_job_is_reported_to_its_worker_and_never_claimed(database: Database) -> None:
    (job_id,) = enqueue_jobs(database)
    with database.begin() as session:
        jobs.claim(session, "w1", KINDS, NOON)
        assert jobs.cancel(session, job_id, NOON).state == "cancelled"
        assert not jobs.heartbeat(session, job_id, "w1", NOON, 1, 2)
        assert not jobs.finish(session, job_id, "w1", {}, NOON)
        assert jobs.claim(session, "w2", KINDS, LOST) is None
        assert not jobs.has_available(session, KINDS, LOST)


def test_a_job_whose_worker_died_is_claimed_again_and_finally_fails(database: Database) -> None:
    (job_id,) = enqueue_jobs(database)
    with database.begin() as session:
        at = NOON
        for number in range(MAX_TRIES):
            assert jobs.claim(session, f"w{number}", KINDS, at + timedelta(seconds=1)) is not None
            assert jobs.claim(session, "another", KINDS, at + HEARTBEAT_TIMEOUT) is None  # it may still be alive
            at += HEARTBEAT_TIMEOUT + timedelta(seconds=2)
        assert jobs.claim(session, "w9", KINDS, at) is None
        failed = jobs.get(session, job_id)
        assert failed.state == "failed"
        assert failed.error is not None


def claim_all(url: str, worker: str, barrier: Barrier, claimed_ids: "Queue[int]") -> None:
    database = Database(url)
    barrier.wait(120)
    while True:
        with database.begin() as session:
            job = jobs.claim(session, worker, KINDS, NOON)
        if job is None:
            break
        claimed_ids.put(job.id)
    database.close()


def test_concurrent_workers_claim_each_job_once(database: Database, database_url: str) -> None:
    ids = enqueue_jobs(database, 30)
    barrier, claimed_ids = forkserver.Barrier(2), forkserver.Queue()
    processes = [
        forkserver.Process(target=claim_all, args=(database_url, f"w{n}", barrier, claimed_ids)) for n in range(2)
    ]
    for process in processes:
        process.start()
    claimed = [claimed_ids.get(timeout=150) for _ in ids]
    for process in processes:
        process.join(150)
    assert [process.exitcode for process in processes] == [0, 0]
    assert sorted(claimed) == ids
    assert claimed_ids.empty()
