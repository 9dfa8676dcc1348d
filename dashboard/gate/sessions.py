"""Which login each open session of the dashboard belongs to, and requests for the session of somebody else.

Streamlit gives a session back to whoever names its id, for as long as a connection may be interrupted, and takes files
for it. Here the browser's login cookie must be the one of that session.
"""

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

UPLOADS = "/_stcore/upload_file/"
PROTOCOLS = "sec-websocket-protocol"  # Streamlit's: its name, a token against request forgery, the session to resume
MAX_SESSIONS = 10_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Session:
    token_sha256: str | None
    logged_in: bool


class SessionLogins:
    """The login of each session of this process, by session id; the oldest of very many are forgotten. Thread-safe."""

    def __init__(self) -> None:
        """Start without sessions."""
        self._lock = threading.Lock()
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    def record(self, session_id: str, token: str | None, *, logged_in: bool) -> None:
        """Record whose session this is; called with every run of a whole page."""
        with self._lock:
            self._sessions[session_id] = _Session(_hash(token), logged_in)
            self._sessions.move_to_end(session_id)
            if len(self._sessions) > MAX_SESSIONS:
                self._sessions.popitem(last=False)

    def may_resume(self, session_id: str, token: str | None) -> bool:
        """Return whether a browser with this login cookie, or without one, may have the session back."""
        with self._lock:
            session = self._sessions.get(session_id)
        return session is not None and session.token_sha256 == _hash(token)

    def may_upload(self, session_id: str, token: str | None) -> bool:
        """Return whether somebody is logged in there, and the request comes from that browser."""
        with self._lock:
            session = self._sessions.get(session_id)
        return session is not None and session.logged_in and session.token_sha256 == _hash(token)


SESSIONS = SessionLogins()


class SessionCheck:
    """ASGI middleware that resumes a session, and takes files for it, only from the browser of its login."""

    def __init__(self, app: ASGIApp, cookie: str, sessions: SessionLogins = SESSIONS) -> None:
        """Pass on to `app` what is allowed; `cookie` is the name of the login cookie."""
        self._app = app
        self._cookie = cookie
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse an upload with 401 before its body is read; begin a new session in place of somebody else's."""
        if scope["type"] == "websocket":
            scope = self._without_foreign_session(scope)
        elif scope["type"] == "http" and scope["path"].startswith(UPLOADS) and scope["method"] != "OPTIONS":
            session_id = scope["path"].removeprefix(UPLOADS).partition("/")[0]
            if not self._sessions.may_upload(session_id, self._token(scope)):
                log.warning("an upload without a login was refused", client=scope.get("client"))
                await PlainTextResponse("Log in first.\n", status_code=401)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _token(self, scope: Scope) -> str | None:
        return HTTPConnection(scope).cookies.get(self._cookie)

    def _without_foreign_session(self, scope: Scope) -> Scope:
        entries = [entry.strip() for entry in Headers(scope=scope).get(PROTOCOLS, "").split(",")]
        if len(entries) < 3 or self._sessions.may_resume(entries[2], self._token(scope)):
            return scope
        changed = {**scope, "headers": list(scope["headers"])}
        MutableHeaders(scope=changed)[PROTOCOLS] = ", ".join(entries[:2])
        return changed


def _hash(token: str | None) -> str | None:
    return None if token is None else hashlib.sha256(token.encode()).hexdigest()
