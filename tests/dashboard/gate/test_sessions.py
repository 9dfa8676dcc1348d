"""A session is given back, and takes files, only to the browser of its login."""

import pytest
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from dashboard.gate import sessions
from dashboard.gate.sessions import PROTOCOLS, UPLOADS, SessionCheck, SessionLogins
from tests.dashboard.gate.asgi_calls import answer, call, status

COOKIE = "andon_login_8501"


@pytest.fixture
def logins() -> SessionLogins:
    known = SessionLogins()
    known.record("ada", "her-token", logged_in=True)
    known.record("stranger", None, logged_in=False)
    return known


def cookie(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Cookie": f"other=1; {COOKIE}={token}"}


@pytest.mark.parametrize(
    ("session", "token", "passed_on"),
    [
        ("ada", "her-token", "streamlit, xsrf, ada"),
        ("ada", None, "streamlit, xsrf"),
        ("ada", "another", "streamlit, xsrf"),
        ("stranger", None, "streamlit, xsrf, stranger"),
        ("stranger", "her-token", "streamlit, xsrf"),
        ("unknown", None, "streamlit, xsrf"),
    ],
)
def test_a_session_id_alone_resumes_no_login(
    logins: SessionLogins, session: str, token: str | None, passed_on: str
) -> None:
    seen: list[str] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(Headers(scope=scope)[PROTOCOLS])

    headers = {PROTOCOLS: f"streamlit, xsrf, {session}", **cookie(token)}
    call(SessionCheck(inner, COOKIE, logins), "/_stcore/stream", headers, kind="websocket")
    assert seen == [passed_on]


@pytest.mark.parametrize(
    ("session", "token", "expected"),
    [
        ("ada", "her-token", 200),
        ("ada", None, 401),
        ("ada", "another", 401),
        ("stranger", None, 401),
        ("unknown", None, 401),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_file_is_taken_only_from_who_is_logged_in(
    logins: SessionLogins, session: str, token: str | None, expected: int, method: str
) -> None:
    check = SessionCheck(answer, COOKIE, logins)
    assert status(call(check, f"{UPLOADS}{session}/1", cookie(token), method=method, body=[b"x"] * 3)) == expected


def test_other_requests_pass(logins: SessionLogins) -> None:
    check = SessionCheck(answer, COOKIE, logins)
    assert status(call(check, "/wall")) == 200
    assert status(call(check, "/_stcore/stream", kind="websocket")) == "accept"
    assert status(call(check, f"{UPLOADS}ada/1", method="OPTIONS")) == 200


def test_the_oldest_of_very_many_sessions_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_SESSIONS", 2)
    known = SessionLogins()
    for name in ("first", "second", "first", "third"):
        known.record(name, None, logged_in=True)
    assert [known.may_resume(name, None) for name in ("first", "second", "third")] == [True, False, True]
