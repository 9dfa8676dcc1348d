"""The database: one engine, transactions, migrations."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from storage.database import schema
from storage.database.driver_errors import translate
from storage.errors import StorageError, StorageUnavailable
from storage.urls import masked_url, parse_database_url

_READING = "andon_reading"


class Database:
    """SQLite (``sqlite:///path``, WAL) or PostgreSQL 15+ (``postgresql+psycopg://…``) by URL.

    Opening connects to nothing. A SQLite writer waits `lock_timeout_s` seconds for another one.
    Raises `StorageError` for a URL that can't be read.
    """

    def __init__(self, url: str, *, lock_timeout_s: float = 10.0) -> None:
        try:
            address = parse_database_url(url)
        except ValueError as error:
            raise StorageError(str(error)) from None
        self.name = masked_url(address)
        is_sqlite = address.get_backend_name() == "sqlite"
        self._engine = _sqlite(address, lock_timeout_s) if is_sqlite else _postgres(address)
        reading = self._engine.execution_options(**{_READING: True})
        if self._engine.dialect.name == "postgresql":
            reading = reading.execution_options(postgresql_readonly=True, isolation_level="REPEATABLE READ")
        self._writing = sessionmaker(self._engine, expire_on_commit=False)
        self._reading = sessionmaker(reading, expire_on_commit=False)

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """One transaction; raises `StorageUnavailable` when the database is away, locked for too long or full."""
        with self._told(), self._writing.begin() as session:
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One transaction that can't write, sees one moment, and never waits for those that write."""
        with self._told(), self._reading.begin() as session:
            yield session

    def upgrade(self) -> None:
        """Migrate to the newest schema; safe when two processes do it at once."""
        with self._told():
            schema.upgrade(self._engine, self.name)

    def require_current_schema(self) -> None:
        """Raise `SchemaMismatch` unless the schema is the one this code was written for."""
        with self._told(), self._engine.connect() as connection:
            schema.require_current(connection, self.name)

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:  # the latter from preparing a new connection
            told = translate(error, self.name)
            if told is None:
                raise
            raise told from error


def _postgres(address: URL) -> Engine:
    # A vanished server is noticed within half a minute instead of TCP's quarter of an hour.
    patience = {
        "connect_timeout": "5",
        "keepalives_idle": "10",
        "keepalives_interval": "5",
        "tcp_user_timeout": "30000",
    }
    return create_engine(address.update_query_dict({**patience, **address.query}), pool_pre_ping=True)


def _sqlite(address: URL, lock_timeout_s: float) -> Engine:
    path = Path(address.database or "")
    engine = create_engine(address, connect_args={"timeout": lock_timeout_s})

    @event.listens_for(engine, "do_connect")
    def make_folder(*_: Any) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageUnavailable(
                f"The folder {path.parent} for the database can't be made ({error.strerror}): name another one."
            ) from error

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver would begin late, and read-then-write would then fail as locked
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")  # docs/adr/0004: offsets are committed after verdicts
        connection.execute("PRAGMA cache_size = -16000")
        record.info["file"] = path.stat().st_ino

    @event.listens_for(engine, "checkout")
    def same_file(connection: Any, record: Any, _: Any) -> None:
        # SQLite goes on writing to a file that was deleted or replaced, and all of it would be lost.
        if not path.exists() or path.stat().st_ino != record.info["file"]:
            raise DisconnectionError(f"{path} was replaced")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get(_READING, False)
        connection.exec_driver_sql(f"PRAGMA query_only = {int(reading)}")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine
