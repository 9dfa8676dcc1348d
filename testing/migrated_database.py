"""Databases with the newest schema, copied from one that was migrated once per process: a migration takes long."""

import tempfile
from functools import cache
from pathlib import Path

import pytest

from storage.database.engine import Database
from testing.services.postgres import PostgresServer


def create_sqlite(path: Path) -> str:
    """Create a migrated SQLite database at `path` unless the file exists, and return its URL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(_migrated_sqlite())
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """Migrate a PostgreSQL database, to which nothing is connected, and return its name."""
    url = postgres_server.create_database()
    database = Database(url)
    database.upgrade()
    database.close()
    return url.rpartition("/")[2]


@cache
def _migrated_sqlite() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "andon.sqlite"
        database = Database(f"sqlite:///{path}")
        database.upgrade()
        database.close()
        return path.read_bytes()
