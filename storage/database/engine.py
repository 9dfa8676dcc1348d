"""The database: one SQLAlchemy engine, its transactions, and migrations."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from foundation.addresses import is_loopback
from foundation.private_files import create_private_file, make_private_folder
from storage.database import schema
from storage.database.driver_errors import translate
from storage.database.secret_key import KEY_OF_SESSION, SecretKey, default_key_path
from storage.errors import StorageError, StorageUnavailable
from storage.urls import masked_url, parse_database_url

_READ_ONLY_OPTION = "andon_read_only"

log = structlog.get_logger()


class Database:
    """SQLite (``sqlite:///path``, in WAL mode) or PostgreSQL 15 or newer (``postgresql+psycopg://…``), by URL.

    The constructor opens no connection. Sessions know `secret_key`, by default the one in the file beside an SQLite
    database or in .andon; nothing reads or makes it before it is needed. A writer on SQLite waits at most
    `lock_timeout_s` seconds for another writer. Used from several threads. Raises `StorageError` for a URL that cannot
    be parsed.
    """

    def __init__(self, url: str, *, lock_timeout_s: float = 10.0, secret_key: SecretKey | None = None) -> None:
        """Parse the URL and create the engine."""
        try:
            parsed = parse_database_url(url)
        except ValueError as error:
            raise StorageError(str(error)) from None
        self.name = masked_url(parsed)
        is_sqlite = parsed.get_backend_name() == "sqlite"
        self._engine = _sqlite(parsed, lock_timeout_s) if is_sqlite else _postgres(parsed)
        reading = self._engine.execution_options(**{_READ_ONLY_OPTION: True})
        if self._engine.dialect.name == "postgresql":
            reading = reading.execution_options(postgresql_readonly=True, isolation_level="REPEATABLE READ")
        info = {KEY_OF_SESSION: secret_key or SecretKey.from_file(default_key_path(parsed))}
        self._writing = sessionmaker(self._engine, expire_on_commit=False, info=info)
        self._reading = sessionmaker(reading, expire_on_commit=False, info=info)

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """Open a transaction that is committed when the block ends; raises `StorageUnavailable`.

        The database is unavailable when it cannot be reached, is locked for too long or is full.
        """
        with self._translate_errors(), self._writing.begin() as session:
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a read-only transaction on one snapshot, which never waits for writers; raises `StorageUnavailable`."""
        with self._translate_errors(), self._reading.begin() as session:
            yield session

    def upgrade(self) -> None:
        """Migrate to the newest schema; processes that do so at the same time wait for each other."""
        with self._translate_errors():
            schema.upgrade(self._engine, self.name)

    def require_current_schema(self) -> None:
        """Raise `SchemaMismatch` unless the schema is the one that this code was written for."""
        with self.read() as session:
            schema.require_current(session.connection(), self.name)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Translate a driver's errors into those of `storage.errors`."""
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:  # the latter from preparing a new connection
            translated = translate(error, self.name)
            if translated is None:
                raise
            raise translated from error


def _is_encryption_chosen(url: URL) -> bool:
    return "sslmode" in url.query or "PGSSLMODE" in os.environ


@cache
def warn_of_clear_connection(host: str) -> None:
    """Warn, once in a process, that the way to a server is encrypted only if that server likes, and is not verified."""
    if host and not host.startswith("/") and not is_loopback(host):
        log.warning(
            "the connection to PostgreSQL is not verified: add ?sslmode=verify-full&sslrootcert=FILE to "
            "storage.database_url, or ?sslmode=disable on a network of its own",
            host=host,
        )


def _postgres(url: URL) -> Engine:
    if not _is_encryption_chosen(url):
        hosts = url.query.get("host", "")
        warn_of_clear_connection(url.host or (hosts if isinstance(hosts, str) else hosts[0]))
    # A server that disappears is noticed within half a minute; TCP alone takes a quarter of an hour.
    timeouts = {
        "connect_timeout": "5",
        "keepalives_idle": "10",
        "keepalives_interval": "5",
        "tcp_user_timeout": "30000",
    }
    engine = create_engine(
        url.update_query_dict({**timeouts, **url.query}),
        pool_pre_ping=True,
        client_encoding="utf8",  # else a server's, a role's or PGCLIENTENCODING's, which may lack characters
        # A pooler may run each transaction on another connection, which has no statement prepared (docs/adr/0004).
        connect_args={"prepare_threshold": None},
    )

    @event.listens_for(engine, "connect")
    def use_utc(connection: Any, _: Any) -> None:
        # Set here, because poolers refuse it among the options of a connection. They repeat it on each of their own.
        connection.autocommit = True
        connection.execute("SET TIME ZONE 'UTC'")
        connection.autocommit = False

    return engine


def _is_writable(path: Path) -> bool:
    """Return whether this user may write an SQLite file and the files that SQLite writes beside it."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _read_only_uri(path: Path) -> str:
    """Return the URI of a file that this user may only read (https://sqlite.org/wal.html#read_only_databases).

    Without a log nobody has the file open, and SQLite need not make the files that readers and writers share.
    """
    has_log = path.with_name(f"{path.name}-wal").exists()
    return f"{path.absolute().as_uri()}?mode=ro{'' if has_log else '&immutable=1'}"


def _sqlite(url: URL, lock_timeout_s: float) -> Engine:
    path = Path(url.database or "")
    engine = create_engine(url, connect_args={"timeout": lock_timeout_s})

    @event.listens_for(engine, "do_connect")
    def open_file(_: Any, __: Any, arguments: list[Any], options: dict[str, Any]) -> None:
        if path.exists() and not _is_writable(path):
            arguments[0] = _read_only_uri(path)
            options["uri"] = True
            return
        try:
            make_private_folder(path.parent)
        except OSError as error:
            raise StorageUnavailable(
                f"The folder {path.parent} for the database can't be made ({error.strerror}): name another one."
            ) from error
        with suppress(OSError):  # SQLite itself says what is wrong with the file
            create_private_file(path)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver would begin late, and read-then-write would then fail as locked
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")  # docs/adr/0004: offsets are committed after verdicts
        connection.execute("PRAGMA cache_size = -16000")
        record.info["file"] = path.stat().st_ino

    @event.listens_for(engine, "checkout")
    def require_same_file(connection: Any, record: Any, _: Any) -> None:
        # SQLite would go on writing to a file that was deleted or replaced, and those rows would be lost.
        if not path.exists() or path.stat().st_ino != record.info["file"]:
            raise DisconnectionError(f"{path} was replaced")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get(_READ_ONLY_OPTION, False)
        connection.exec_driver_sql(f"PRAGMA query_only = {int(reading)}")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine
