"""The database is unavailable to a worker for a minute by its count: it waits, reports it, and continues in order."""

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from testing.line import Services
from testing.postgres import PostgresServer
from testing.tiny_disk import fill, tiny_disk_of
from tests.scorer.worker.faults import ids, in_order_of_writing, noticed, ready

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.kafka
@pytest.mark.postgres
def test_a_postgres_that_is_stopped_is_waited_for(
    tmp_path: Path, kafka_bootstrap: str, postgres_server: PostgresServer, postgres_url: str
) -> None:
    services = Services(kafka_bootstrap, postgres_url, f"frames-{uuid.uuid4().hex}")
    with ready(tmp_path, services) as line, noticed(line, "database") as (progress, until_it_waited):
        sent = line.frames("s1", 20)
        progress.wait_for(lambda done: done.verdicts >= 8)
        postgres_server.stop()
        try:
            sent += line.frames("s1", 20)
            until_it_waited()
        finally:
            postgres_server.start()
        progress.wait_for(lambda done: done.verdicts == 40)
        assert ids(line) == in_order_of_writing(line) == sent


def test_a_sqlite_database_that_another_program_holds_is_waited_for(tmp_path: Path) -> None:
    services = Services(database_patience_s=0.05)
    with ready(tmp_path, services) as line, noticed(line, "database") as (progress, until_it_waited):
        sent = line.frames("s1", 20)
        progress.wait_for(lambda done: done.verdicts >= 8)
        with closing(sqlite3.connect(tmp_path / "andon.sqlite", isolation_level=None)) as other:
            other.execute("PRAGMA busy_timeout = 60000")
            other.execute("BEGIN IMMEDIATE")
            sent += line.frames("s1", 20)
            until_it_waited()
            other.execute("ROLLBACK")
        progress.wait_for(lambda done: done.verdicts == 40)
        assert ids(line) == in_order_of_writing(line) == sent


@pytest.fixture
def tiny_sqlite(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a SQLite database on a tiny disk, and that disk."""
    with tiny_disk_of("4m", tmp_path) as disk:
        yield f"sqlite:///{disk / 'andon.sqlite'}", disk


@pytest.fixture
def tiny_postgres(postgres_server: PostgresServer) -> Iterator[tuple[str, Path]]:
    """The address of a PostgreSQL database whose tables lie on a tiny disk, and that disk."""
    with tiny_disk_of("24m", postgres_server.folder) as disk, postgres_server.database_on(disk) as url:
        yield url, disk


def test_a_full_disk_under_sqlite_is_waited_for(tmp_path: Path, tiny_sqlite: tuple[str, Path]) -> None:
    url, disk = tiny_sqlite
    full_disk_is_waited_for(tmp_path, Services(database_url=url), disk)


@pytest.mark.postgres
def test_a_full_disk_under_postgres_is_waited_for(tmp_path: Path, tiny_postgres: tuple[str, Path]) -> None:
    url, disk = tiny_postgres
    full_disk_is_waited_for(tmp_path, Services(database_url=url), disk)


def full_disk_is_waited_for(folder: Path, services: Services, disk: Path) -> None:
    """Send frames until the disk has no room for their verdicts."""
    ballast = disk / "ballast"
    with ready(folder, services) as line, noticed(line, "database") as (progress, until_it_waited):
        sent = line.frames("s1", 10)
        progress.wait_for(lambda done: done.verdicts == 10)

        def leave_no_room() -> None:
            """Fill the space that a vacuum or the tables' spare pages free."""
            fill(ballast)
            if progress.latest.verdicts == len(sent):
                sent.extend(line.frames("s1", 100))

        assert "no disk space left" in until_it_waited(meanwhile=leave_no_room)
        ballast.unlink()
        progress.wait_for(lambda done: done.verdicts == len(sent))
        assert ids(line) == sent
