"""The database is unavailable to a worker for a minute by its count: it waits, reports it, and continues in order."""

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from testing.line import Services
from testing.services.postgres import PostgresServer
from testing.tiny_disk import fill, tiny_disk_of
from tests.scorer.worker.faults import frame_ids_in_write_order, ready_line, verdict_frame_ids, worker_waiting_for

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.kafka
@pytest.mark.postgres
def test_the_worker_waits_for_a_stopped_postgres(
    tmp_path: Path, kafka_bootstrap: str, postgres_server: PostgresServer, postgres_url: str
) -> None:
    services = Services(kafka_bootstrap, postgres_url, f"frames-{uuid.uuid4().hex}")
    with (
        ready_line(tmp_path, services) as line,
        worker_waiting_for(line, "database") as (progress, wait_until_reported),
    ):
        sent = line.publish_parts("s1", 20)
        progress.wait_for(lambda done: done.verdicts >= 8)
        postgres_server.stop()
        try:
            sent += line.publish_parts("s1", 20)
            wait_until_reported()
        finally:
            postgres_server.start()
        progress.wait_for(lambda done: done.verdicts == 40)
        assert verdict_frame_ids(line) == frame_ids_in_write_order(line) == sent


def test_the_worker_waits_for_a_locked_sqlite_database(tmp_path: Path) -> None:
    services = Services(database_patience_s=0.05)
    with (
        ready_line(tmp_path, services) as line,
        worker_waiting_for(line, "database") as (progress, wait_until_reported),
    ):
        sent = line.publish_parts("s1", 20)
        progress.wait_for(lambda done: done.verdicts >= 8)
        with closing(sqlite3.connect(tmp_path / "andon.sqlite", isolation_level=None)) as other:
            other.execute("PRAGMA busy_timeout = 60000")
            other.execute("BEGIN IMMEDIATE")
            sent += line.publish_parts("s1", 20)
            wait_until_reported()
            other.execute("ROLLBACK")
        progress.wait_for(lambda done: done.verdicts == 40)
        assert verdict_frame_ids(line) == frame_ids_in_write_order(line) == sent


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


def test_the_worker_waits_for_disk_space_under_sqlite(tmp_path: Path, tiny_sqlite: tuple[str, Path]) -> None:
    url, disk = tiny_sqlite
    check_wait_for_full_disk(tmp_path, Services(database_url=url), disk)


@pytest.mark.postgres
def test_the_worker_waits_for_disk_space_under_postgres(tmp_path: Path, tiny_postgres: tuple[str, Path]) -> None:
    url, disk = tiny_postgres
    check_wait_for_full_disk(tmp_path, Services(database_url=url), disk)


def check_wait_for_full_disk(folder: Path, services: Services, disk: Path) -> None:
    """Send frames until the disk has no room for their verdicts."""
    ballast = disk / "ballast"
    with ready_line(folder, services) as line, worker_waiting_for(line, "database") as (progress, wait_until_reported):
        sent = line.publish_parts("s1", 10)
        progress.wait_for(lambda done: done.verdicts == 10)

        def fill_disk() -> None:
            """Fill the space that a vacuum or the tables' spare pages free."""
            fill(ballast)
            if progress.latest.verdicts == len(sent):
                sent.extend(line.publish_parts("s1", 100))

        assert "no disk space left" in wait_until_reported(meanwhile=fill_disk)
        ballast.unlink()
        progress.wait_for(lambda done: done.verdicts == len(sent))
        assert verdict_frame_ids(line) == sent
