"""A real PgBouncer in front of a PostgreSQL, in transaction mode: each transaction may run on another connection."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from testing.availability import skip_unavailable
from testing.ports import free_port
from testing.services.certificates import self_signed
from testing.services.postgres import (
    PASSWORD,
    USER,
    PostgresServer,
    give_to_unprivileged_user,
    unprivileged_process,
)

_START_TIMEOUT_S = 30.0
_SERVER_CONNECTIONS = 3  # fewer than a test's clients, so that they share


@contextmanager
def pgbouncer(server: PostgresServer, folder: Path, *, with_tls: bool = False) -> Iterator[int]:
    """Run PgBouncer in front of `server` for the block, and yield the port; its files are in `folder`.

    With TLS it refuses clients without; its certificate is ``certificate.pem`` in `folder`.
    """
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        skip_unavailable("there is no PgBouncer here: install it (Debian's package pgbouncer)")
    port = free_port()
    users = folder / "users.txt"
    users.write_text(f'"{USER}" "{PASSWORD}"\n')
    configuration = folder / "pgbouncer.ini"
    tls = self_signed(folder) if with_tls else ()
    tls_settings = [
        "client_tls_sslmode = require",
        *(f"client_tls_{kind}_file = {file}" for kind, file in zip(("cert", "key"), tls, strict=False)),
    ]
    configuration.write_text(
        "\n".join(
            [
                "[databases]",
                f"* = host=127.0.0.1 port={server.port}",
                "[pgbouncer]",
                "listen_addr = 127.0.0.1",
                f"listen_port = {port}",
                "unix_socket_dir =",
                "auth_type = scram-sha-256",
                f"auth_file = {users}",
                "pool_mode = transaction",
                f"default_pool_size = {_SERVER_CONNECTIONS}",
                f"logfile = {folder / 'log'}",
                *(tls_settings if with_tls else ()),
            ]
        )
    )
    give_to_unprivileged_user(folder, users, configuration, *tls)
    process = subprocess.Popen(
        [program, "--quiet", str(configuration)], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
        **unprivileged_process(),
    )  # fmt: skip
    try:
        _wait_until_it_listens(process, port, folder / "log")
        yield port
    finally:
        process.terminate()
        process.wait(_START_TIMEOUT_S)


@pytest.fixture
def pgbouncer_url(postgres_server: PostgresServer, postgres_url: str) -> Iterator[str]:
    """Yield the URL, through PgBouncer in transaction mode, of an empty database for this test."""
    folder = postgres_server.folder / f"pgbouncer-{postgres_url.rpartition('/')[2]}"
    folder.mkdir()
    with pgbouncer(postgres_server, folder) as port:
        yield postgres_url.replace(f":{postgres_server.port}/", f":{port}/")


def _wait_until_it_listens(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace")[-1000:] if log.exists() else ""
                raise RuntimeError(f"PgBouncer did not start: {said}") from error
            time.sleep(0.05)
        else:
            return
