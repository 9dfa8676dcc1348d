"""A database driver's error, translated to one sentence with a way out."""

import re
import sqlite3

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from storage.errors import SchemaMismatch, StorageError, StorageUnavailable

_SQLITE_CODES = {
    "SQLITE_BUSY": "is locked by another process: find the one that holds it (often a copy or an open SQL shell)",
    "SQLITE_LOCKED": "is locked by another process: find the one that holds it (often a copy or an open SQL shell)",
    "SQLITE_FULL": "has no disk space left: free some, and work continues by itself",
    "SQLITE_READONLY": "can't be written: give this user the right to write the file and its folder",
    "SQLITE_CANTOPEN": "can't be opened: check that its folder exists and that this user may write there",
    "SQLITE_PERM": "can't be opened: check that this user may read and write it",
    "SQLITE_IOERR": "can't be read or written: check its disk",
    "SQLITE_CORRUPT": "is damaged: restore it from a backup",
}
_POSTGRES_STATES = {  # by SQLSTATE or its class, https://www.postgresql.org/docs/15/errcodes-appendix.html
    "25P03": "closed a session that was idle in a transaction: raise its role's idle_in_transaction_session_timeout",
    "25P04": "stopped a transaction that took too long: raise its role's transaction_timeout",
    "25006": "accepts no writes (it may be a standby): point database_url to the primary",
    "28": "refuses this user or password: check the database URL",
    "3D": "does not exist on that server: create it, or check the database URL",
    "40": "has conflicting changes by several processes: the work is tried again",
    "42501": "gives this user too few rights: grant them on its schema",
    "53100": "has no disk space left: free some on its server, and work continues by itself",
    "53300": "has no connection free: raise max_connections or run fewer processes",
    "53": "is short of memory or disk: check its server",
    "55P03": "is locked by another process: find the one that holds it in pg_stat_activity",
    "57014": "stopped a statement that took too long: raise the statement_timeout of this role or database",
    "57P05": "closed an idle session: the work is tried again on a new one",
    "57": "is shutting down or starting: work continues when it runs again",
    "58": "can't read or write its files: check its server's disk",
    "XX": "is damaged: read its server's log",
}
_MISSING_IN_SQLITE = re.compile(r"no such (table|column)|has no column named")
_MISSING_IN_POSTGRES = {"42P01", "42703", "3F000"}


def translate(error: Exception, database: str) -> StorageError | None:
    """Return the error as one of `storage.errors`, or None for a mistake in our own code.

    `database` is a URL without its password.
    """
    if isinstance(error, PoolTimeout):
        return StorageUnavailable(f"All connections to the database {database} are busy: try again in a moment.")
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        return _from_sqlite(cause, database)
    if isinstance(cause, psycopg.Error):
        return _from_postgres(cause, database)
    return None


def _from_sqlite(cause: sqlite3.Error, database: str) -> StorageError | None:
    name = getattr(cause, "sqlite_errorname", "")
    if name == "SQLITE_NOTADB":
        return SchemaMismatch(f"The file of {database} is not an SQLite database: name another file in database_url.")
    for code, problem in _SQLITE_CODES.items():
        if name == code or name.startswith(f"{code}_"):
            return StorageUnavailable(f"The database {database} {problem}.")
    if _MISSING_IN_SQLITE.search(str(cause)):
        return _schema_mismatch(database)
    return None


def _from_postgres(cause: psycopg.Error, database: str) -> StorageError | None:
    state = cause.sqlstate
    if state is None:
        if not isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError):
            return None
        lines = str(cause).strip().splitlines()
        detail = f" ({lines[0].rstrip('.')})" if lines else ""
        return StorageUnavailable(f"The database {database} can't be reached{detail}: check that it runs.")
    if state in _MISSING_IN_POSTGRES:
        return _schema_mismatch(database)
    problem = _POSTGRES_STATES.get(state) or _POSTGRES_STATES.get(state[:2])
    if problem is not None:
        return StorageUnavailable(f"The database {database} {problem}.")
    if isinstance(cause, psycopg.OperationalError):
        return StorageUnavailable(f"The database {database} can't be reached (SQLSTATE {state}): check that it runs.")
    return None


def _schema_mismatch(database: str) -> SchemaMismatch:
    return SchemaMismatch(f"The schema of {database} is not the one this Andon needs: run `andon db upgrade`.")
