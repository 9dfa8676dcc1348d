"""The schema's version: migrations, and errors that name the way out of another version."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from alembic import command
from alembic.autogenerate.api import AutogenContext
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text

from storage.database.tables import UtcDateTime
from storage.errors import SchemaMismatch, StorageError

VERSION_TABLE = "andon_schema"
MIGRATION_LOCK = 0x616E646F6E  # "andon" in ASCII; PostgreSQL's advisory lock for migrations
_LOCK_TIMEOUT_S = 120


def upgrade(engine: Engine, database: str) -> None:
    """Migrate an empty or older database to the newest revision, in one transaction and behind one lock."""
    if engine.dialect.name == "sqlite":
        _use_write_ahead_log(engine)
    with engine.connect() as connection, _foreign_keys_unchecked(connection), connection.begin():
        # On SQLite the write lock is held from here on.
        if connection.dialect.name == "postgresql":
            _require_postgres_15(connection, database)
            _require_utf8(connection, database)
            connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT_S}s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        found = _revision(connection, database)
        if found == newest():
            return
        if found is not None:
            _require_known(found, database)
        migrate(connection, "head")
        _require_foreign_keys(connection, database)


def migrate(connection: Connection, revision: str) -> None:
    """Execute the migrations up to `revision` over this connection, in its transaction."""
    configuration = _configuration()
    configuration.attributes["connection"] = connection
    command.upgrade(configuration, revision)


def require_current(connection: Connection, database: str) -> None:
    """Raise `SchemaMismatch`, with the way out, unless the database is at the newest revision and stores every text."""
    if connection.dialect.name == "postgresql":
        _require_utf8(connection, database)
    found = _revision(connection, database)
    if found is None:
        raise SchemaMismatch(f"The database {database} is empty: run `andon db upgrade` to set it up.")
    _require_known(found, database)
    if found != newest():
        raise SchemaMismatch(
            f"The schema of {database} is at {found} and this Andon needs {newest()}: run `andon db upgrade`."
        )


def newest() -> str:
    """Return the revision that this code was written for."""
    head = ScriptDirectory.from_config(_configuration()).get_current_head()
    if head is None:
        raise StorageError("Andon's migrations are missing: install it again.")
    return head


def rendered(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Return how autogenerate writes `UtcDateTime` into a migration, which must not change when the class does."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return 'sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")'
    return False


def _configuration() -> Config:
    return Config(Path(__file__).with_name("alembic.ini"))


@contextmanager
def _foreign_keys_unchecked(connection: Connection) -> Iterator[None]:
    """Let a migration on SQLite copy and drop a table that others refer to (https://sqlite.org/lang_altertable.html).

    The pragma does nothing inside a transaction, so it is executed before SQLAlchemy begins one.
    """
    if connection.dialect.name != "sqlite":
        yield
        return
    cursor = connection.connection.cursor()
    cursor.execute("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        cursor.execute("PRAGMA foreign_keys = ON")


def _require_foreign_keys(connection: Connection, database: str) -> None:
    if connection.dialect.name == "sqlite":
        violation = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        if violation is not None:
            raise StorageError(
                f"Migrating {database} would break a reference of its table {violation[0]}: it was undone."
            )


def _revision(connection: Connection, database: str) -> str | None:
    """Return the revision, None for an empty database; raises `SchemaMismatch` for tables that are not Andon's."""
    tables = inspect(connection).get_table_names()
    if VERSION_TABLE in tables:
        found: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
        return found
    if tables:
        first_tables = ", ".join(sorted(tables)[:3])
        raise SchemaMismatch(
            f"The database {database} has tables that are not Andon's ({first_tables}): give Andon its own database."
        )
    return None


def _require_known(revision: str, database: str) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(_configuration()).walk_revisions()}
    if revision not in known:
        raise SchemaMismatch(
            f"The schema of {database} is at {revision}, newer than this Andon knows ({newest()}): update Andon."
        )


def _require_postgres_15(connection: Connection, database: str) -> None:
    version = connection.dialect.server_version_info
    if version is not None and version < (15,):
        found = ".".join(map(str, version))
        raise StorageError(f"The database {database} runs PostgreSQL {found}: Andon needs 15 or newer.")


def _require_utf8(connection: Connection, database: str) -> None:
    """Raise `SchemaMismatch` for an encoding in which the first name with an emoji would fail."""
    encoding = connection.execute(text("SELECT current_setting('server_encoding')")).scalar()
    if encoding != "UTF8":
        raise SchemaMismatch(
            f"The database {database} has the encoding {encoding}, which can't store every name: create another one "
            "with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0 and name it in database_url."
        )


def _use_write_ahead_log(engine: Engine) -> None:
    """Switch the file to WAL permanently.

    Two processes that switch at the same moment fail as locked, without SQLite's own wait, so it is tried again here.
    """
    if sqlite3.sqlite_version_info < (3, 35):
        raise StorageError(f"SQLite {sqlite3.sqlite_version} is too old: Andon needs 3.35 or newer.")
    deadline = time.monotonic() + _LOCK_TIMEOUT_S
    while True:
        connection = engine.raw_connection()
        try:
            connection.cursor().execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
        finally:
            connection.close()
