"""The hash chain shows every entry of the audit log that was changed, added or removed behind its back."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from storage.auth import audit_chain, audit_log
from storage.auth.actors import Actor, Role
from storage.database.engine import Database
from tests.storage.examples import NOON

ADA = Actor("ada", Role.ADMIN)


def add_entries(database: Database, how_many: int) -> None:
    for number in range(how_many):
        with database.begin() as session:
            at = NOON + timedelta(seconds=number, microseconds=123)
            before, after = {"value": 0.1 + number, "tags": ["ö", None, True]}, {"at": datetime.now(UTC)}
            audit_log.record(session, ADA, "threshold.set", at, subject=f"s{number}", before=before, after=after)


def tamper(session: Session, statement: str) -> None:
    """Change the table as somebody who may do anything in the database."""
    if session.get_bind().dialect.name == "sqlite":
        for change in ("update", "delete"):
            session.execute(text(f"DROP TRIGGER IF EXISTS audit_keeps_rows_from_{change}"))
    else:
        session.execute(text("ALTER TABLE audit DISABLE TRIGGER USER"))
    session.execute(text(statement))


def test_an_untouched_log_is_whole_and_an_empty_one_too(database: Database) -> None:
    with database.read() as session:
        assert audit_chain.verify(session).broken_at is None
    add_entries(database, 3)
    with database.read() as session:
        found = audit_chain.verify(session)
        assert (found.entries, found.broken_at) == (3, None)
        assert [entry.hash for entry in audit_chain.entries(session)][-1] == found.last_hash


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'eve' WHERE id = 2",
        "UPDATE audit SET before = '{}' WHERE id = 2",
        "UPDATE audit SET hash = NULL WHERE id = 2",
        "DELETE FROM audit WHERE id = 2",
        "INSERT INTO audit (at, actor, role, action, subject, reason) SELECT at, actor, role, action, subject, reason "
        "FROM audit WHERE id = 1",
    ],
)
def test_what_was_changed_added_or_removed_shows(database: Database, statement: str) -> None:
    add_entries(database, 3)
    with database.begin() as session:
        tamper(session, statement)
    with database.read() as session:
        assert audit_chain.verify(session).broken_at is not None


def test_entries_from_before_there_were_hashes_are_covered_by_the_first(database: Database) -> None:
    add_entries(database, 3)
    with database.begin() as session:
        tamper(session, "UPDATE audit SET hash = NULL")
    add_entries(database, 2)
    with database.read() as session:
        assert audit_chain.verify(session).broken_at is None
    with database.begin() as session:
        tamper(session, "UPDATE audit SET subject = 'another' WHERE id = 1")
    with database.read() as session:
        assert audit_chain.verify(session).broken_at == 4


def test_entries_that_are_added_at_once_are_one_chain(database: Database) -> None:
    start = threading.Barrier(4)

    def add(_: int) -> None:
        start.wait(60)
        add_entries(database, 5)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(add, range(4)))
    with database.read() as session:
        found = audit_chain.verify(session)
    assert (found.entries, found.broken_at) == (20, None)
