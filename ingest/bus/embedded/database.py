"""The embedded bus's SQLite file: its tables, its transactions, and the bus's errors for those of SQLite."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from foundation.private_files import create_private_file, make_private_folder
from ingest.errors import BusMisconfigured, BusUnavailable

FILE_VERSION = 2
PAGE_BYTES = 16_384  # an image of 200 kB takes 13 pages, not 50
LOCK_TIMEOUT_S = 10.0  # how long another process may lock the file before it counts as unavailable
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
CREATE TABLE assignments (
    group_id INTEGER NOT NULL, partition INTEGER NOT NULL, member TEXT NOT NULL, generation INTEGER NOT NULL,
    PRIMARY KEY (group_id, partition)
) WITHOUT ROWID;
CREATE TABLE committed (
    group_id INTEGER NOT NULL, partition INTEGER NOT NULL, next_offset INTEGER NOT NULL,
    PRIMARY KEY (group_id, partition)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class TopicLog:
    """One topic of one file."""

    path: Path
    topic: str
    topic_id: int
    partitions: int


def open_database(path: Path, *, durable_commits: bool, max_bytes: int | None = None) -> sqlite3.Connection:
    """Open the file, and create it if it is missing.

    Args:
        path: The file.
        durable_commits: Whether a commit survives a power cut; without it, it survives a killed process only.
        max_bytes: The size from which on this connection adds no more, or None.

    Raises:
        BusUnavailable: The file or its folder can't be opened now.
        BusMisconfigured: The file is not an embedded bus, is damaged, or is of another version.
    """
    with translate_errors(path):
        try:
            make_private_folder(path.parent)
        except OSError as error:
            raise BusUnavailable(f"The folder {path.parent} of the bus can't be created: {error.strerror}.") from None
        with suppress(OSError):  # SQLite itself says what is wrong with the file
            create_private_file(path)
        connection = sqlite3.connect(path, timeout=LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, path)
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable_commits else 'NORMAL'}")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
            connection.execute("PRAGMA busy_timeout = 1")  # `write_transaction` waits by itself, in shorter steps
            if max_bytes is not None:
                connection.execute(f"PRAGMA max_page_count = {max(max_bytes // PAGE_BYTES, 16)}")
        except BaseException:
            connection.close()
            raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Create the tables unless they exist; two processes may do it at the same time."""
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
            f"The embedded bus {path} was written by another version ({version}, here {FILE_VERSION}); move it away."
        )


@contextmanager
def write_transaction(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Run the block in a write transaction, which its end commits and an exception rolls back.

    SQLite's own wait for a lock sleeps up to 100 ms between attempts, and starves while another process writes; this
    one tries every millisecond.

    Raises:
        BusUnavailable: The transaction can't begin within `LOCK_TIMEOUT_S`, or can't commit.
        BusMisconfigured: The file is damaged.
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
    """Run the block in a read transaction: all its queries see the same state. Raises as `write_transaction` does."""
    with translate_errors(path):
        connection.execute("BEGIN")
        try:
            yield
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Raise the bus's own errors for those of SQLite."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate_error(error, path) from error


def translate_error(error: sqlite3.Error, path: Path) -> BusUnavailable | BusMisconfigured:
    """Return `BusUnavailable` for an error that waiting may resolve, else `BusMisconfigured`."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return BusUnavailable(f"The embedded bus {path} can't grow: the disk is full or embedded_max_bytes is reached.")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return BusUnavailable(f"The embedded bus {path} has been locked by another program for {LOCK_TIMEOUT_S:g} s.")
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return BusMisconfigured(f"The file {path} is not an embedded bus or is damaged ({error}); move it away.")
    if code == sqlite3.SQLITE_READONLY:
        return BusUnavailable(f"The embedded bus {path} is read-only; check its permissions and those of its folder.")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM):
        return BusUnavailable(f"The embedded bus {path} can't be used: {error}.")
    return BusMisconfigured(f"The embedded bus {path} failed ({error}); move it away if it is another program's.")


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return (error.sqlite_errorcode & 0xFF) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
