"""The way of a login token into a cookie that no script of the page can read.

A page can't set such a cookie; only an HTTP response can. So the page is given a code that is valid once and for one
minute, posts it to a route of the server, and the response sets the cookie.
"""

import secrets
import threading
from datetime import datetime, timedelta

from markupsafe import Markup

from dashboard.html import render

CODE_LIFETIME = timedelta(minutes=1)
ROUTE = "/andon/login"
HEADER = "X-Andon-Code"  # another site's page can't send a custom header


class LoginHandover:
    """Tokens that wait for their browser, by code. Thread-safe."""

    def __init__(self) -> None:
        """Start without tokens."""
        self._lock = threading.Lock()
        self._tokens: dict[str, tuple[str, datetime]] = {}

    def put(self, token: str, at: datetime) -> str:
        """Store a token and return its new code."""
        code = secrets.token_urlsafe(32)
        with self._lock:
            self._tokens = {
                other: (waiting, since)
                for other, (waiting, since) in self._tokens.items()
                if at - since < CODE_LIFETIME
            }
            self._tokens[code] = (token, at)
        return code

    def redeem(self, code: str, at: datetime) -> str | None:
        """Return the code's token the first time and within a minute, else None."""
        with self._lock:
            token, since = self._tokens.pop(code, (None, at))
        return token if at - since < CODE_LIFETIME else None


HANDOVER = LoginHandover()


def cookie_name(port: int) -> str:
    """Return the cookie's name; browsers share cookies between all ports of a host, so each dashboard has its own."""
    return f"andon_login_{port}"


def redeeming_script(code: str) -> Markup:
    """Return a script element that posts the code to the server."""
    return render("auth/auth.html", "redeeming_script", ROUTE, HEADER, code)
