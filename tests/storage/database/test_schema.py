from multiprocessing.synchronize import Barrier

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text

from storage.database.engine import Database
from storage.database.schema import VERSION_TABLE, newest
from storage.database.tables import Base
from storage.errors import SchemaMismatch
from testing.processes import forkserver
from tests.storage.examples import is_one_sentence


def test_models_and_migrations_agree(database: Database, database_url: str) -> None:
    engine = create_engine(database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_upgrading_twice_changes_nothing(database: Database) -> None:
    database.upgrade()
    database.require_current_schema()


def test_an_empty_database_is_reported(database_url: str) -> None:
    database = Database(database_url)
    with pytest.raises(SchemaMismatch, match="andon db upgrade") as caught:
        database.require_current_schema()
    assert is_one_sentence(caught.value)
    with pytest.raises(SchemaMismatch, match="andon db upgrade"), database.read() as session:
        session.execute(text("SELECT * FROM stations"))
    database.close()


def test_a_database_of_another_program_is_left_unchanged(database_url: str) -> None:
    database = Database(database_url)
    with database.begin() as session:
        session.execute(text("CREATE TABLE invoices (id INTEGER)"))
    for call in (database.require_current_schema, database.upgrade):
        with pytest.raises(SchemaMismatch, match="invoices") as caught:
            call()
        assert is_one_sentence(caught.value)
    with database.read() as session:
        assert inspect(session.connection()).get_table_names() == ["invoices"]
    database.close()


def test_a_newer_schema_is_left_unchanged(database: Database) -> None:
    with database.begin() as session:
        session.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    for call in (database.require_current_schema, database.upgrade):
        with pytest.raises(SchemaMismatch, match=f"9999.*{newest()}") as caught:
            call()
        assert is_one_sentence(caught.value)


def migrate(url: str, barrier: Barrier) -> None:
    database = Database(url)
    barrier.wait(120)
    database.upgrade()
    database.require_current_schema()
    database.close()


def test_concurrent_migrations_succeed(database_url: str) -> None:
    barrier = forkserver.Barrier(3)
    processes = [forkserver.Process(target=migrate, args=(database_url, barrier)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(150)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    database = Database(database_url)
    database.require_current_schema()
    with database.read() as session:
        assert session.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).all() == [(newest(),)]
    database.close()
