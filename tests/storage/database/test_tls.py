"""TLS to PostgreSQL: certificates are verified where the URL asks for it, and a connection without is warned of once.

PgBouncer ends TLS here, because the PostgreSQL that comes as a Python package is built without it.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from storage.database import engine
from storage.database.engine import Database
from storage.errors import StorageUnavailable
from testing.services.certificates import self_signed
from testing.services.pgbouncer import pgbouncer
from testing.services.postgres import PASSWORD, PostgresServer


@pytest.fixture
def tls_url(postgres_server: PostgresServer, postgres_url: str) -> Iterator[tuple[str, Path]]:
    """The URL of a database behind TLS, and the certificate of the server, which is its own authority."""
    folder = postgres_server.folder / f"tls-{postgres_url.rpartition('/')[2]}"
    folder.mkdir()
    with pgbouncer(postgres_server, folder, with_tls=True) as port:
        yield postgres_url.replace(f":{postgres_server.port}/", f":{port}/"), folder / "certificate.pem"


@pytest.mark.postgres
def test_a_certificate_is_verified_with_its_name(tls_url: tuple[str, Path], tmp_path: Path) -> None:
    url, certificate = tls_url
    other, _ = self_signed(tmp_path)
    with closing(Database(f"{url}?sslmode=verify-full&sslrootcert={certificate}")) as database:
        database.upgrade()
        with database.read() as session:
            assert session.scalar(text("SELECT 1")) == 1
            driver = session.connection().connection.driver_connection
            assert driver is not None
            assert driver.pgconn.ssl_in_use
    for options in (f"sslmode=verify-full&sslrootcert={other}", "sslmode=disable"):
        with closing(Database(f"{url}?{options}")) as database:
            with pytest.raises(StorageUnavailable) as caught, database.read() as session:
                session.connection()
            assert PASSWORD not in str(caught.value)
    renamed = url.replace("127.0.0.1", "localhost")  # which the certificate does not name
    with (
        closing(Database(f"{renamed}?sslmode=verify-full&sslrootcert={certificate}")) as database,
        pytest.raises(StorageUnavailable),
        database.read() as session,
    ):
        session.connection()


@pytest.mark.parametrize(
    ("url", "warnings"),
    [
        ("postgresql://andon:hunter2@db-1/andon", 1),
        ("postgresql://andon:hunter2@/andon?host=db-2", 1),
        ("postgresql://andon:hunter2@db-3/andon?sslmode=verify-full", 0),
        ("postgresql://andon:hunter2@db-4/andon?sslmode=disable", 0),
        ("postgresql://andon:hunter2@127.0.0.1/andon", 0),
        ("postgresql://andon:hunter2@localhost/andon", 0),
        ("postgresql://andon:hunter2@/andon?host=/run/postgresql", 0),
        ("postgresql:///andon", 0),
    ],
)
def test_a_server_on_the_network_without_a_choice_of_tls_is_warned_of_once(
    url: str, warnings: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGSSLMODE", raising=False)
    engine.warn_of_clear_connection.cache_clear()
    with capture_logs() as logs:
        for _ in range(2):
            Database(url)
        monkeypatch.setenv("PGSSLMODE", "verify-full")
        engine.warn_of_clear_connection.cache_clear()
        Database(url)
    assert [entry["log_level"] for entry in logs] == ["warning"] * warnings
    assert "hunter2" not in str(logs)
