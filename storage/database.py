"""The database: one engine, transactions, migrations."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session


class Database:
    """SQLite (``sqlite:///path``, WAL) or PostgreSQL 15+ (``postgresql+psycopg://…``) by URL."""

    def __init__(self, url: str) -> None:
        raise NotImplementedError

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """One transaction; raises `StorageUnavailable` when the database is away, locked for too long or full."""
        raise NotImplementedError

    def upgrade(self) -> None:
        """Migrate to the newest schema; safe when two processes do it at once."""
        raise NotImplementedError

    def require_current_schema(self) -> None:
        """Raise `SchemaOutdated` unless the schema is the one this code was written for."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError
