"""Through PgBouncer in transaction mode, where no two transactions need be on one connection, all works as without."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from storage.database.engine import Database
from storage.line import normal_sets, stations, verdicts
from storage.rollups import score_rollups
from tests.storage.examples import add_active_set, add_station, make_verdict

pytestmark = pytest.mark.postgres

CLIENTS = 8  # more than PgBouncer has connections
FIRST_DAY, DAY = datetime(2026, 3, 1, tzinfo=UTC), timedelta(days=1)
TRANSACTIONS = 12  # more than a driver waits for before it prepares a statement


@pytest.fixture
def database(pgbouncer_url: str) -> Iterator[Database]:
    opened = Database(pgbouncer_url)
    opened.upgrade()
    yield opened
    opened.close()


def test_processes_that_upgrade_at_once_wait_for_each_other(pgbouncer_url: str) -> None:
    start = threading.Barrier(CLIENTS)

    def upgrade(_: int) -> None:
        database = Database(pgbouncer_url)
        start.wait(60)
        database.upgrade()
        database.require_current_schema()
        database.close()

    with ThreadPoolExecutor(CLIENTS) as threads:
        list(threads.map(upgrade, range(CLIENTS)))


def test_many_clients_share_few_connections(database: Database, pgbouncer_url: str) -> None:
    with database.begin() as session:
        station = add_station(session, "s1")
        made = add_active_set(session, station)

    def work(_: int) -> None:
        own = Database(pgbouncer_url)
        for _ in range(TRANSACTIONS):
            with own.begin() as session:
                verdicts.record(session, [make_verdict(made) for _ in range(3)])
            with own.read() as session:
                assert [found.name for found in stations.list_all(session)] == ["s1"]
                assert normal_sets.active_ids(session) == {station.id: made.id}
        own.close()

    with ThreadPoolExecutor(CLIENTS) as threads:
        list(threads.map(work, range(CLIENTS)))
    with database.read() as session:
        assert verdicts.count(session) == CLIENTS * TRANSACTIONS * 3


def test_every_session_is_in_utc_and_utf8_whatever_connection_it_gets(pgbouncer_url: str) -> None:
    name = pgbouncer_url.rpartition("/")[2]
    first = Database(pgbouncer_url)
    with first.begin() as session:
        session.execute(text(f"ALTER DATABASE {name} SET timezone = 'America/New_York'"))
        session.execute(text(f"ALTER DATABASE {name} SET client_encoding = 'LATIN1'"))
    first.close()

    def settings(_: int) -> tuple[object, ...]:
        own = Database(pgbouncer_url)
        with own.begin() as session:
            found = session.execute(
                text("SELECT current_setting('TimeZone'), current_setting('client_encoding')")
            ).one()
        own.close()
        return tuple(found)

    with ThreadPoolExecutor(CLIENTS) as threads:
        assert set(threads.map(settings, range(2 * CLIENTS))) == {("UTC", "UTF8")}


def test_scores_are_read_in_parts_by_a_cursor(database: Database) -> None:
    with database.begin() as session:
        made = add_active_set(session, add_station(session, "s1"))
        verdicts.record(session, [make_verdict(made, at=datetime(2026, 3, day, tzinfo=UTC)) for day in range(1, 29)])
    with database.begin() as session:
        score_rollups.rebuild(session)
    with database.read() as session:
        bins = score_rollups.histogram(session, made.station_id, FIRST_DAY, FIRST_DAY + 28 * DAY, 0.25, 0.25, 1)
    assert [frames for _, _, frames in bins] == [28]
