"""What a PostgreSQL is set to: encodings that lack characters, time zones, and limits of a role."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from storage.database.engine import Database
from storage.database.tables import UtcDateTime
from storage.errors import SchemaMismatch, StorageUnavailable
from storage.line import stations, verdicts
from testing.services.postgres import PostgresServer
from tests.storage.examples import NOON, add_active_set, add_station, is_one_sentence, make_verdict

pytestmark = pytest.mark.postgres


@contextmanager
def database_with(server: PostgresServer, options: str) -> Iterator[str]:
    url = server.create_database(options)
    try:
        yield url
    finally:
        server.drop_database(url)


def alter(server: PostgresServer, url: str, setting: str) -> None:
    server.execute(f"ALTER DATABASE {url.rpartition('/')[2]} SET {setting}")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "WIN1252", "EUC_JP"])
def test_a_database_that_can_not_store_every_text_is_refused(postgres_server: PostgresServer, encoding: str) -> None:
    with database_with(postgres_server, f" ENCODING '{encoding}' TEMPLATE template0") as url:
        database = Database(url)
        with pytest.raises(SchemaMismatch) as at_upgrade:
            database.upgrade()
        with pytest.raises(SchemaMismatch) as at_start:
            database.require_current_schema()
        with database.read() as session:
            tables = session.scalar(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))
        database.close()
    for caught in (at_upgrade, at_start):
        assert is_one_sentence(caught.value)
        assert encoding in str(caught.value)
    assert tables == 0


@pytest.mark.parametrize("client_encoding", ["LATIN1", "SQL_ASCII"])
def test_what_a_client_would_be_set_to_costs_no_character(
    postgres_server: PostgresServer, postgres_url: str, client_encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alter(postgres_server, postgres_url, f"client_encoding = '{client_encoding}'")
    monkeypatch.setenv("PGCLIENTENCODING", client_encoding)
    database = Database(postgres_url)
    database.upgrade()
    with database.begin() as session:
        add_station(session, "s1")
        stations.get(session, "s1")
        session.execute(text("CREATE TEMP TABLE names AS SELECT '✨ 😀 café'::text AS name"))
        assert session.scalar(text("SELECT name FROM names")) == "✨ 😀 café"
    database.close()


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kathmandu", "Pacific/Kiritimati"])
def test_a_server_in_another_time_zone_reads_the_same(
    postgres_server: PostgresServer, postgres_url: str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alter(postgres_server, postgres_url, f"timezone = '{zone}'")
    monkeypatch.setenv("PGTZ", zone)
    database = Database(postgres_url)
    database.upgrade()
    first, last = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    with database.begin() as session:
        verdicts.record(session, [make_verdict(add_active_set(session, add_station(session, "s1")), at=NOON)])
    with database.read() as session:
        assert session.scalar(text("SELECT current_setting('TimeZone')")) == "UTC"
        assert [found.captured_at for found in verdicts.recent(session)] == [NOON]
        for at in (first, last):
            stored = text("SELECT CAST(:at AS timestamptz) AS at").columns(at=UtcDateTime)
            assert session.scalar(stored, {"at": at}) == at
    database.close()


@pytest.mark.parametrize(
    ("setting", "statement", "named"),
    [
        ("statement_timeout = '50ms'", "SELECT pg_sleep(60)", "statement_timeout"),
        ("lock_timeout = '50ms'", "LOCK TABLE stations", "locked by another process"),
    ],
)
def test_a_limit_of_a_role_is_called_what_it_is(
    postgres_server: PostgresServer, postgres_url: str, setting: str, statement: str, named: str
) -> None:
    database, other = Database(postgres_url), Database(postgres_url)
    database.upgrade()
    with other.begin() as holding:
        holding.execute(text("LOCK TABLE stations"))
        alter(postgres_server, postgres_url, setting)
        limited = Database(postgres_url)
        with pytest.raises(StorageUnavailable) as caught, limited.begin() as session:
            session.execute(text(statement))
        limited.close()
    assert is_one_sentence(caught.value)
    assert named in str(caught.value)
    database.close()
    other.close()


def test_a_session_that_its_role_lets_idle_too_briefly_is_called_what_it_is(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    alter(postgres_server, postgres_url, "idle_in_transaction_session_timeout = '50ms'")
    database = Database(postgres_url)
    with pytest.raises(StorageUnavailable) as caught:
        _idle_too_long(database, postgres_server, postgres_url)
    assert is_one_sentence(caught.value)
    assert "idle_in_transaction_session_timeout" in str(caught.value)
    database.close()


def _idle_too_long(database: Database, server: PostgresServer, url: str) -> None:
    with database.begin() as session:
        session.execute(text("SELECT 1"))
        _wait_until_closed(server, url)
        session.execute(text("SELECT 1"))


def _wait_until_closed(server: PostgresServer, url: str) -> None:
    name = url.rpartition("/")[2]
    for _ in range(10_000):
        if server.execute(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'") == [(0,)]:
            return
    raise AssertionError("the server did not close the session")
