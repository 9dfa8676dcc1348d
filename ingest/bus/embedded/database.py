"""The embedded bus's SQLite file: its tables, how it is opened, and what its errors mean to a person."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ingest.errors import BusMisconfigured, BusUnavailable

FILE_VERSION = 1
PAGE_BYTES = 16_384  # an image of 200 kB takes 13 pages, not 50
LOCK_TIMEOUT_S = 10.0  # how long somebody else may hold the file before it counts as unavailable
_WAL_BYTES = 64_000_000

_TABLES = """
CREATE TABLE topics (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL);
CREATE TABLE partitions (
    topic INTEGER NOT NULL, partition INTEGER NOT NULL,
    first_offset INTEGER NOT NULL, next_offset INTEGER NOT NULL, PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
CREATE TABLE records (
    id INTEGER PRIMARY KEY, topic INTEGER NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL,
    appended_us INTEGER NOT NULL, key TEXT, headers BLOB NOT NULL, value BLOB NOT NULL,
    UNIQUE (topic, partition, offset)
);
CREATE TABLE groups (
    id INTEGER PRIMARY KEY, topic INTEGER NOT NULL, name TEXT NOT NULL, generation INTEGER NOT NULL,
    UNIQUE (topic, name)
);
CREATE TABLE members (
    id INTEGER PRIMARY KEY, group_id INTEGER NOT NULL, name TEXT NOT NULL, lease_until REAL NOT NULL,
    UNIQUE (group_id, name)
);
CREATE TABLE shares (
    group_id INTEGER NOT NULL, partition INTEGER NOT NULL, member TEXT NOT NULL, generation INTEGER NOT NULL,
    PRIMARY KEY (group_id, partition)
) WITHOUT ROWID;
CREATE TABLE committed (
    group_id INTEGER NOT NULL, partition INTEGER NOT NULL, next_offset INTEGER NOT NULL,
    PRIMARY KEY (group_id, partition)
) WITHOUT ROWID;
"""


def open_database(path: Path, *, durable_commits: bool, max_bytes: int | None = None) -> sqlite3.Connection:
    """Open the file, making it if need be; above `max_bytes` this connection adds no more.

    With `durable_commits` a commit survives a power cut, without it a killed process only.
    """
    with translate_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BusUnavailable(f"the embedded bus's folder {path.parent} can't be made: {error.strerror}") from None
        connection = sqlite3.connect(path, timeout=LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, path)
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable_commits else 'NORMAL'}")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
            connection.execute("PRAGMA busy_timeout = 1")  # `writing` waits by itself, with shorter steps
            if max_bytes is not None:
                connection.execute(f"PRAGMA max_page_count = {max(max_bytes // PAGE_BYTES, 16)}")
        except BaseException:
            connection.close()
            raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables unless they are there; two processes may do it at once."""
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            break
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        for statement in _TABLES.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {FILE_VERSION}")
    connection.execute("COMMIT")
    if version not in (0, FILE_VERSION):
        raise BusMisconfigured(
            f"the embedded bus {path} was written by another version ({version}, here {FILE_VERSION}); move it away"
        )


@contextmanager
def write_transaction(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """One write transaction; raises `BusUnavailable` when it can't begin within `LOCK_TIMEOUT_S` or can't end.

    SQLite's own waiting sleeps up to 100 ms between looks and starves beside a busy writer, so this looks every 1 ms.
    """
    with translate_errors(path):
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                break
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() > deadline:
                    raise
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


@contextmanager
def read_transaction(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """One consistent look at the file."""
    with translate_errors(path):
        connection.execute("BEGIN")
        try:
            yield
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Say SQLite's errors in one sentence, as the bus's own."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate_error(error, path) from error


def translate_error(error: sqlite3.Error, path: Path) -> BusUnavailable | BusMisconfigured:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return BusUnavailable(f"the embedded bus {path} can't grow: the disk is full or embedded_max_bytes is reached")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return BusUnavailable(f"the embedded bus {path} has been locked by another program for {LOCK_TIMEOUT_S:g} s")
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return BusMisconfigured(f"{path} is not an embedded bus or is damaged ({error}); move it away")
    if code == sqlite3.SQLITE_READONLY:
        return BusUnavailable(f"the embedded bus {path} may not be written; check its rights and its folder's")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM):
        return BusUnavailable(f"the embedded bus {path} can't be used: {error}")
    return BusMisconfigured(f"the embedded bus {path} says: {error}; move it away if it is from another program")


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return (error.sqlite_errorcode & 0xFF) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
