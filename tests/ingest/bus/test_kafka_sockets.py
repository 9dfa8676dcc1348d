"""The last bytes that a broker sends before it closes the connection are read, though kafka-python reads only once."""

import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ingest.bus.kafka.sockets import PlainSocket, TLSSocket
from testing.certificates import self_signed

WANTS = (BlockingIOError, ssl.SSLWantReadError)


def looked(connection: socket.socket) -> tuple[bytes, bool]:
    """Return the bytes of one read of kafka-python, and whether it saw the end, at which it would discard them."""
    read: list[bytes] = []
    while True:
        try:
            data = connection.recv(4096)
        except WANTS:
            return b"".join(read), False
        except OSError:
            return b"".join(read), True
        if not data:
            return b"".join(read), True
        read.append(data)


@pytest.fixture
def plain() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The broker's end of a connection, and ours."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        ours = PlainSocket(socket.AF_INET, socket.SOCK_STREAM)
        ours.connect(server.getsockname())
        theirs, _ = server.accept()
        ours.setblocking(False)
        with closing(ours), closing(theirs):
            yield theirs, ours


def test_an_answer_is_read_before_the_end_that_came_with_it(plain: tuple[socket.socket, socket.socket]) -> None:
    theirs, ours = plain
    theirs.sendall(b"the password is wrong")
    theirs.close()
    readable(ours)
    assert looked(ours) == (b"the password is wrong", False)
    readable(ours)
    assert looked(ours) == (b"", True)


def test_an_end_without_an_answer_is_seen_at_once(plain: tuple[socket.socket, socket.socket]) -> None:
    theirs, ours = plain
    theirs.sendall(b"first")
    readable(ours)
    assert looked(ours) == (b"first", False)
    theirs.close()
    readable(ours)
    assert looked(ours) == (b"", True)


def test_an_answer_is_read_before_the_reset_that_came_with_it(plain: tuple[socket.socket, socket.socket]) -> None:
    theirs, ours = plain
    ours.sendall(b"never read by the broker")
    readable(theirs)
    theirs.sendall(b"no")
    readable(ours)
    theirs.close()  # with data unread, so it is a reset
    assert looked(ours) == (b"no", False)
    readable(ours)
    assert looked(ours) == (b"", True)


def test_an_answer_over_tls_is_read_before_the_end_that_came_with_it(
    plain: tuple[socket.socket, socket.socket], tmp_path: Path
) -> None:
    theirs, ours = plain
    certificate, key = self_signed(tmp_path)

    def answer() -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        with context.wrap_socket(theirs, server_side=True) as broker:
            broker.sendall(b"the password is wrong")
            broker.shutdown(socket.SHUT_RDWR)

    broker = threading.Thread(target=answer)
    broker.start()
    context = ssl.create_default_context(cafile=certificate)
    context.sslsocket_class = TLSSocket
    ours.setblocking(True)
    with context.wrap_socket(ours, server_hostname="127.0.0.1") as connection:
        broker.join(10)
        connection.setblocking(False)
        read, saw_the_end = looked(connection)
        while not read and not saw_the_end:  # a session ticket may come first
            read, saw_the_end = looked(connection)
        assert (read, saw_the_end) == (b"the password is wrong", False)
        assert looked(connection) == (b"", True)


def readable(connection: socket.socket) -> None:
    """Wait until data, or the end, can be read."""
    assert select.select([connection], [], [], 10)[0]
