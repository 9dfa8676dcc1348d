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
from testing.services.certificates import self_signed

WANTS = (BlockingIOError, ssl.SSLWantReadError)


def read_all(connection: socket.socket) -> tuple[bytes, bool]:
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
def plain_connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection: the broker's and the client's."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        client_end = PlainSocket(socket.AF_INET, socket.SOCK_STREAM)
        client_end.connect(server.getsockname())
        broker_end, _ = server.accept()
        client_end.setblocking(False)
        with closing(client_end), closing(broker_end):
            yield broker_end, client_end


def test_a_response_is_read_before_the_end_of_the_connection(
    plain_connection: tuple[socket.socket, socket.socket],
) -> None:
    broker_end, client_end = plain_connection
    broker_end.sendall(b"the password is wrong")
    broker_end.close()
    wait_until_readable(client_end)
    assert read_all(client_end) == (b"the password is wrong", False)
    wait_until_readable(client_end)
    assert read_all(client_end) == (b"", True)


def test_an_end_without_a_response_is_detected_at_once(plain_connection: tuple[socket.socket, socket.socket]) -> None:
    broker_end, client_end = plain_connection
    broker_end.sendall(b"first")
    wait_until_readable(client_end)
    assert read_all(client_end) == (b"first", False)
    broker_end.close()
    wait_until_readable(client_end)
    assert read_all(client_end) == (b"", True)


def test_a_response_is_read_before_a_reset(plain_connection: tuple[socket.socket, socket.socket]) -> None:
    broker_end, client_end = plain_connection
    client_end.sendall(b"never read by the broker")
    wait_until_readable(broker_end)
    broker_end.sendall(b"no")
    wait_until_readable(client_end)
    broker_end.close()  # with data unread, so it is a reset
    assert read_all(client_end) == (b"no", False)
    wait_until_readable(client_end)
    assert read_all(client_end) == (b"", True)


def test_a_response_over_tls_is_read_before_the_end_of_the_connection(
    plain_connection: tuple[socket.socket, socket.socket], tmp_path: Path
) -> None:
    broker_end, client_end = plain_connection
    certificate, key = self_signed(tmp_path)

    def respond() -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        with context.wrap_socket(broker_end, server_side=True) as broker:
            broker.sendall(b"the password is wrong")
            broker.shutdown(socket.SHUT_RDWR)

    broker = threading.Thread(target=respond)
    broker.start()
    context = ssl.create_default_context(cafile=certificate)
    context.sslsocket_class = TLSSocket
    client_end.setblocking(True)
    with context.wrap_socket(client_end, server_hostname="127.0.0.1") as connection:
        broker.join(10)
        connection.setblocking(False)
        read, ended = read_all(connection)
        while not read and not ended:  # a session ticket may come first
            read, ended = read_all(connection)
        assert (read, ended) == (b"the password is wrong", False)
        assert read_all(connection) == (b"", True)


def wait_until_readable(connection: socket.socket) -> None:
    """Wait until data, or the end, can be read."""
    assert select.select([connection], [], [], 10)[0]
