"""Sockets for kafka-python that deliver a broker's last message before it closes the connection."""

import socket
import ssl
from typing import Any, cast

from kafka.net.inet import KafkaNetSocket

SCHEME = "direct"  # kafka-python chooses a socket class by the scheme of its `proxy_url`

Socket = socket.socket


class _DelayedEndOfStream:
    """Reports the end of a stream one read later.

    kafka-python discards bytes that it has read, such as a broker's reason to refuse, if the end follows in the same
    round of reads. A socket at its end stays readable, so the next round follows at once.
    """

    _has_read = False

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Read as `socket.recv` does; raise `BlockingIOError` once in place of the end after data."""
        try:
            data = cast(bytes, super().recv(buflen, flags))  # type: ignore[misc]
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            self._has_read = False
            raise
        except OSError as error:
            if self._has_read:
                self._has_read = False
                raise BlockingIOError from error
            raise
        if not data and self._has_read:
            self._has_read = False
            raise BlockingIOError
        self._has_read = bool(data)
        return data


class PlainSocket(_DelayedEndOfStream, socket.socket):
    """A TCP connection."""


class TLSSocket(_DelayedEndOfStream, ssl.SSLSocket):
    """A TLS connection; for `ssl.SSLContext.sslsocket_class`."""


class _Direct(KafkaNetSocket):  # type: ignore[misc]
    """Creates `PlainSocket`s, and closes those of refused connections, which kafka-python leaves open."""

    SCHEMES = (SCHEME,)

    def socket(
        self,
        family: int = socket.AF_UNSPEC,
        sock_type: int = socket.SOCK_STREAM,
        proto: int = socket.IPPROTO_TCP,
    ) -> Socket:
        """Return a new socket."""
        return PlainSocket(family, sock_type, proto)

    async def sock_connect(self, net: Any, sock: Socket, *args: Any, **options: Any) -> Socket:
        """Connect a socket, and close it when that fails."""
        try:
            return cast(Socket, await super().sock_connect(net, sock, *args, **options))
        except BaseException:
            sock.close()
            raise
