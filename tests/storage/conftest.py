"""Every test in this package that uses the `database` fixture runs twice: on SQLite and on a real PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.database.engine import Database
from testing.migrated_database import create_sqlite
from testing.services.postgres import PostgresServer

BOTH = [pytest.param("sqlite"), pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(params=BOTH)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database that is empty, or has the newest schema where the test uses `database`."""
    is_migrated = "database" in request.fixturenames
    if request.param == "sqlite":
        path = tmp_path / "andon.db"
        yield create_sqlite(path) if is_migrated else f"sqlite:///{path}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    template = f" TEMPLATE {request.getfixturevalue('postgres_template')}" if is_migrated else ""
    url = server.create_database(template)
    yield url
    server.drop_database(url)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database with the newest schema."""
    opened = Database(database_url)
    yield opened
    opened.close()
