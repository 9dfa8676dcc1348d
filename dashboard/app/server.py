"""The dashboard's server: Streamlit's pages, and the cookies of a browser: its id and its login (docs/adr/0026)."""

import sys
from pathlib import Path

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from streamlit.starlette import App

from dashboard.app.command import settings_from
from dashboard.auth import browser
from dashboard.auth.login_handover import HANDOVER, HEADER, ROUTE, cookie_name
from dashboard.gate.browser_ids import BrowserIds
from dashboard.gate.headers import SecurityHeaders
from dashboard.gate.hosts import HostCheck
from dashboard.gate.sessions import SessionCheck
from foundation.clock import utc_now
from storage.auth import logins

SETTINGS = settings_from(sys.argv)


async def set_login_cookie(request: Request) -> Response:
    """Exchange a code for its login token, in a cookie that no script and no other site can read."""
    token = HANDOVER.redeem(request.headers.get(HEADER, ""), utc_now())
    if token is None:
        return Response("This code is unknown or has expired. Log in again.", status_code=403)
    response = Response(status_code=204)
    response.set_cookie(
        cookie_name(SETTINGS.port),
        token,
        max_age=int(logins.MAX_AGE.total_seconds()),
        httponly=True,
        samesite="strict",
        secure="https" in (request.url.scheme, request.headers.get("X-Forwarded-Proto")),
    )
    return response


app = App(
    Path(__file__).with_name("main.py"),
    routes=[Route(ROUTE, set_login_cookie, methods=["POST"])],
    middleware=[
        Middleware(SecurityHeaders),
        Middleware(HostCheck, settings=SETTINGS),
        Middleware(SessionCheck, cookie=cookie_name(SETTINGS.port)),
        Middleware(BrowserIds, cookie=browser.cookie_name(SETTINGS.port)),
    ],
)
