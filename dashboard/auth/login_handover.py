"""How a login's token gets into a cookie without a script of the page ever seeing it.

A page can't set a cookie that scripts can't read, only an answer over HTTP can. So the page gets a code that is good
once and for a minute, asks the server's own route for the cookie with it, and the answer sets the token.
"""

import secrets
import threading
from datetime import datetime, timedelta

GOOD_FOR = timedelta(minutes=1)
ROUTE = "/andon/login"
HEADER = "X-Andon-Code"  # a header of our own can't be sent from another site's page


class Handover:
    """Tokens that wait for their browser, by code; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[str, datetime]] = {}

    def put(self, token: str, at: datetime) -> str:
        """A new code for the token."""
        code = secrets.token_urlsafe(32)
        with self._lock:
            self._waiting = {one: kept for one, kept in self._waiting.items() if at - kept[1] < GOOD_FOR}
            self._waiting[code] = (token, at)
        return code

    def take(self, code: str, at: datetime) -> str | None:
        """The code's token, the first time and within a minute; else None."""
        with self._lock:
            token, since = self._waiting.pop(code, (None, at))
        return token if at - since < GOOD_FOR else None


HANDOVER = Handover()


def cookie_name(port: int) -> str:
    """Browsers keep the cookies of all ports of a machine together, so two dashboards need two names."""
    return f"andon_login_{port}"


def asking(code: str) -> str:
    """A script element that asks for the cookie."""
    return f'<script>fetch("{ROUTE}", {{method: "POST", headers: {{"{HEADER}": "{code}"}}}})</script>'
