from dataclasses import replace
from datetime import timedelta

from storage.database.engine import Database
from storage.line import workers
from storage.line.workers import WorkerStatus
from tests.storage.examples import NOON

FIRST = WorkerStatus("host-a/17", "starting", "", "nearest-patch", 0, NOON, NOON)


def test_a_heartbeat_replaces_the_one_before(database: Database) -> None:
    waiting = replace(FIRST, state="waiting", message="waits for the bus", lag=12, seen_at=NOON + timedelta(seconds=5))
    other = replace(FIRST, name="host-a/16")
    with database.begin() as session:
        for status in (FIRST, other, waiting):
            workers.heartbeat(session, status)
    with database.read() as session:
        assert workers.list_all(session) == [other, waiting]


def test_a_long_message_is_truncated(database: Database) -> None:
    with database.begin() as session:
        workers.heartbeat(session, replace(FIRST, message="x" * 900))
    with database.read() as session:
        assert workers.list_all(session)[0].message == "x" * 499 + "…"
