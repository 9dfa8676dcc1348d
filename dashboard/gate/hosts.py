"""Which names the dashboard answers to: a guard against DNS rebinding, and against pages of other sites.

A page of another site can make a browser call this server: under a name of its own that it points here (DNS rebinding,
which the Host header shows), or by a websocket (which the Origin header shows). An address in digits can't be rebound.
"""

import socket
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from dashboard.app.settings import DashboardSettings, allowed_hosts
from foundation.addresses import is_ip_address

ANY_HOST = "*"
POLICY_VIOLATION = 1008  # a websocket's close code
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

log = structlog.get_logger()


class HostCheck:
    """ASGI middleware that refuses requests to another host than the allowed ones, and websockets of other origins."""

    def __init__(self, app: ASGIApp, settings: DashboardSettings) -> None:
        """Pass on to `app` what the settings allow."""
        self._app = app
        self._configured = set(allowed_hosts(settings))
        self._own = {"localhost", settings.host.lower(), socket.gethostname().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse with 400, or with 403 for a foreign origin; a websocket is closed before it opens."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host, origin = headers.get("host"), headers.get("origin")
        if not self.is_host_allowed(host):
            log.warning("a request to another host was refused", host=(host or "")[:100])
            text = "This dashboard does not answer to that name: add it to the setting dashboard.allowed_hosts.\n"
            await _refuse(scope, receive, send, 400, text)
        elif scope["type"] == "websocket" and not self.is_origin_allowed(origin, host or ""):
            log.warning("a page of another site was refused", origin=(origin or "")[:100], host=host)
            await _refuse(scope, receive, send, 403, "")
        else:
            await self._app(scope, receive, send)

    def is_host_allowed(self, host: str | None) -> bool:
        """Return whether a Host header names this machine, an address in digits or an allowed host."""
        name = _host_name(host or "")
        if name is None:
            return False
        return ANY_HOST in self._configured or name in self._own | self._configured or is_ip_address(name)

    def is_origin_allowed(self, origin: str | None, host: str) -> bool:
        """Return whether a websocket's Origin is a page of this host, or an allowed one; None is no browser's."""
        if origin is None or ANY_HOST in self._configured:
            return True
        try:
            parsed = urlsplit(origin)
            own = urlsplit(f"{parsed.scheme}://{host}")
            same_port = _port(parsed.scheme, parsed.port) == _port(parsed.scheme, own.port)
        except ValueError:
            return False
        name = _host_name(parsed.netloc)
        return name is not None and ((name == _host_name(host) and same_port) or name in self._configured)


def _host_name(netloc: str) -> str | None:
    """Return the name in a Host header in small letters, or None for what is not one."""
    try:
        parsed = urlsplit(f"//{netloc}")
        _ = parsed.port  # raises for a port that is no number
    except ValueError:
        return None
    if parsed.netloc != netloc or "@" in netloc or not parsed.hostname:
        return None
    return parsed.hostname.lower().rstrip(".")


def _port(scheme: str, port: int | None) -> int | None:
    return _DEFAULT_PORTS.get(scheme) if port is None else port


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, text: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": POLICY_VIOLATION})
    else:
        await PlainTextResponse(text, status_code=status)(scope, receive, send)
