"""The sockets that kafka-python gets from us: what a broker says before it hangs up is heard."""

import socket
import ssl
from typing import Any, cast

from kafka.net.inet import KafkaNetSocket

SCHEME = "direct"  # kafka-python takes other ways to connect by the scheme of its `proxy_url`

Socket = socket.socket


class _LastWords:
    """kafka-python throws away what it read if the end comes in the same look, such as why a broker refuses.

    So the end is shown at the next look, which follows at once: a socket at its end stays readable.
    """

    _has_read = False

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
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


class PlainSocket(_LastWords, socket.socket):
    """A TCP connection."""


class TLSSocket(_LastWords, ssl.SSLSocket):
    """A TLS connection; for `ssl.SSLContext.sslsocket_class`."""


class _Direct(KafkaNetSocket):  # type: ignore[misc]
    """kafka-python leaves the sockets of refused connections open."""

    SCHEMES = (SCHEME,)

    def socket(
        self,
        family: int = socket.AF_UNSPEC,
        sock_type: int = socket.SOCK_STREAM,
        proto: int = socket.IPPROTO_TCP,
    ) -> Socket:
        return PlainSocket(family, sock_type, proto)

    async def sock_connect(self, net: Any, sock: Socket, *args: Any, **options: Any) -> Socket:
        try:
            return cast(Socket, await super().sock_connect(net, sock, *args, **options))
        except BaseException:
            sock.close()
            raise
