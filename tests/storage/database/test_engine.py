import contextlib
import os
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text

from storage.database.engine import Database
from storage.errors import InvalidChange, SchemaMismatch, StorageError, StorageUnavailable
from storage.line import stations
from testing.services.postgres import PASSWORD, PostgresServer
from tests.storage.examples import add_station, is_one_sentence


def add_stations(database: Database, how_many: int) -> None:
    with database.begin() as session:
        for _ in range(how_many):
            add_station(session)


def add_twice(database: Database) -> None:
    with database.begin() as session:
        add_station(session, "s1")
        add_station(session, "s1")


def pragma(database: Database, name: str) -> object:
    with database.begin() as session:
        return session.scalar(text(f"PRAGMA {name}"))


def test_sqlite_is_durable_and_checks_foreign_keys(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/a/new/folder/andon.db")
    database.upgrade()
    assert pragma(database, "journal_mode") == "wal"
    assert pragma(database, "synchronous") == 2  # FULL: a commit is on the disk
    assert pragma(database, "foreign_keys") == 1
    assert pragma(database, "busy_timeout") == 10_000
    database.close()


def test_a_failed_transaction_is_rolled_back(database: Database) -> None:
    with pytest.raises(InvalidChange):
        add_twice(database)
    with database.read() as session:
        assert stations.list_all(session) == []


def test_a_reader_cannot_write_and_does_not_wait_for_a_writer(database: Database) -> None:
    with database.begin() as writing:
        add_station(writing, "s1")
        with database.read() as session:
            assert stations.list_all(session) == []
    with pytest.raises(StorageUnavailable), database.read() as session:
        add_station(session, "s2")


def test_a_reader_sees_one_snapshot(database: Database) -> None:
    with database.read() as reading:
        assert stations.list_all(reading) == []
        add_stations(database, 1)
        assert stations.list_all(reading) == []


def test_a_locked_sqlite_file_is_reported(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/andon.db", lock_timeout_s=0.1)
    database.upgrade()
    lock_holder = sqlite3.connect(tmp_path / "andon.db", isolation_level=None)
    lock_holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailable) as caught:
        add_stations(database, 1)
    assert is_one_sentence(caught.value)
    lock_holder.execute("ROLLBACK")
    lock_holder.close()
    add_stations(database, 1)
    database.close()


def test_the_schema_is_checked_while_another_process_writes(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/andon.db", lock_timeout_s=0.1)
    database.upgrade()
    with contextlib.closing(sqlite3.connect(tmp_path / "andon.db", isolation_level=None)) as lock_holder:
        lock_holder.execute("BEGIN IMMEDIATE")
        database.require_current_schema()
    database.close()


def test_a_full_disk_is_reported_and_work_continues_when_space_is_free(tiny_disk: Path) -> None:
    database = Database(f"sqlite:///{tiny_disk}/andon.db")
    database.upgrade()
    filler = tiny_disk / "filler"
    fill(filler)
    with pytest.raises(StorageUnavailable, match="no disk space left") as caught:
        add_stations(database, 2000)
    assert is_one_sentence(caught.value)
    filler.unlink()
    add_stations(database, 1)
    database.close()


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


def test_a_replaced_sqlite_file_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "andon.db"
    database = Database(f"sqlite:///{path}")
    database.upgrade()
    for part in tmp_path.iterdir():
        part.unlink()
    with pytest.raises(SchemaMismatch, match="andon db upgrade") as caught, database.begin() as session:
        add_station(session)
    assert is_one_sentence(caught.value)
    database.upgrade()
    with database.begin() as session:
        add_station(session)
    database.close()


def test_a_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    database = Database(f"sqlite:///{tmp_path}/file/andon.db")
    with pytest.raises(StorageUnavailable) as caught:
        database.upgrade()
    assert is_one_sentence(caught.value)


def test_a_file_that_is_not_a_database_is_reported(tmp_path: Path) -> None:
    (tmp_path / "andon.db").write_bytes(b"not a database at all " * 100)
    database = Database(f"sqlite:///{tmp_path}/andon.db")
    with pytest.raises(SchemaMismatch) as caught:
        database.upgrade()
    assert is_one_sentence(caught.value)
    database.close()


@pytest.mark.postgres
def test_the_database_recovers_after_the_server_was_restarted(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    database = Database(postgres_url)
    database.upgrade()
    with database.begin() as session:
        add_station(session, "before")
    try:
        with pytest.raises(StorageUnavailable) as interrupted:
            stop_server_in_transaction(database, postgres_server)
        with pytest.raises(StorageUnavailable) as unavailable:
            add_stations(database, 1)
    finally:
        postgres_server.start()
    for caught in (interrupted, unavailable):
        assert is_one_sentence(caught.value)
        assert PASSWORD not in str(caught.value)
    with database.begin() as session:
        assert [station.name for station in stations.list_all(session)] == ["before"]
    database.close()


def stop_server_in_transaction(database: Database, server: PostgresServer) -> None:
    with database.begin() as session:
        add_station(session, "cut-off")
        server.stop()
        stations.list_all(session)


@pytest.mark.postgres
@pytest.mark.parametrize(
    "change", [("line-3", "line-4"), ("/test_", "/nobodys_")], ids=["wrong password", "unknown database"]
)
def test_a_wrong_postgres_url_is_reported(postgres_url: str, change: tuple[str, str]) -> None:
    database = Database(postgres_url.replace(*change))
    with pytest.raises(StorageUnavailable) as caught:
        database.upgrade()
    assert is_one_sentence(caught.value)
    assert "line-" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["mysql://root:secret@host/andon", "sqlite://", "sqlite:///:memory:", "andon.db", "postgresql://u:p@h:port/x"],
)
def test_an_unusable_url_is_reported_without_its_password(url: str) -> None:
    with pytest.raises(StorageError) as caught:
        Database(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_hides_the_password() -> None:
    assert Database("postgresql://andon:secret@host/andon").name == "postgresql+psycopg://andon:**********@host/andon"


def test_a_file_that_this_user_may_only_read_is_read_and_nothing_is_written_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/andon.db"
    with contextlib.closing(Database(url)) as writable:
        writable.upgrade()
        add_stations(writable, 2)
    monkeypatch.setattr("os.access", lambda _, mode: mode != os.W_OK)  # root may write everything

    with contextlib.closing(Database(url)) as database:
        database.require_current_schema()
        with database.read() as session:
            assert len(stations.list_all(session)) == 2
            assert [file.name for file in tmp_path.iterdir()] == ["andon.db"]
        with pytest.raises(StorageUnavailable):
            add_stations(database, 1)


def test_a_file_that_this_user_may_only_read_shows_what_another_process_has_just_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/andon.db"
    with contextlib.closing(Database(url)) as writable:
        writable.upgrade()
        monkeypatch.setattr("os.access", lambda _, mode: mode != os.W_OK)
        with contextlib.closing(Database(url)) as database:
            add_stations(writable, 2)  # in the log, not in the file yet
            with database.read() as session:
                assert len(stations.list_all(session)) == 2


def test_a_new_sqlite_database_is_its_owners_alone(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/home/andon.db")
    database.upgrade()
    add_stations(database, 1)
    files = [tmp_path / "home", *(tmp_path / "home").iterdir()]
    database.close()
    assert {path.stat().st_mode & 0o077 for path in files if path.exists()} == {0}


@pytest.mark.parametrize("query", ["password=hunter2", "user=andon&password=hunter2", "sslpassword=hunter2"])
def test_a_password_in_the_query_of_the_url_is_in_no_error(query: str) -> None:
    database = Database(f"postgresql+psycopg://127.0.0.1:9/andon?{query}")
    assert "hunter2" not in database.name
    with pytest.raises(StorageUnavailable) as caught, database.read() as session:
        session.connection()
    assert "hunter2" not in str(caught.value)
