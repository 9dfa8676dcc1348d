"""The dashboard's server: Streamlit's pages, and the cookies of a browser: its id and its login (docs/adr/0026)."""

import sys
from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.starlette import App

from dashboard.app.command import settings_from
from dashboard.auth import browser
from dashboard.auth.login_handover import HANDOVER, HEADER, ROUTE, cookie_name
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


class BrowserIdMiddleware:
    """Gives each browser that opens a page without an id a new one, in a cookie that lasts until the browser ends."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap the application that answers the requests."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add the cookie to the answer where it is a page's and the browser sent none."""
        if scope["type"] != "http" or not needs_browser_id(Request(scope)):
            await self._app(scope, receive, send)
            return

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                cookie = Response()
                name = browser.cookie_name(SETTINGS.port)
                cookie.set_cookie(name, browser.new_id(), httponly=True, samesite="strict")
                MutableHeaders(scope=message).append("Set-Cookie", cookie.headers["Set-Cookie"])
            await send(message)

        await self._app(scope, receive, send_with_id)


def needs_browser_id(request: Request) -> bool:
    """Return whether a browser asks for a page and has no id yet."""
    is_page = "text/html" in request.headers.get("Accept", "")
    return is_page and browser.cookie_name(SETTINGS.port) not in request.cookies


app = App(
    Path(__file__).with_name("main.py"),
    routes=[Route(ROUTE, set_login_cookie, methods=["POST"])],
    middleware=[
        Middleware(SecurityHeaders),
        Middleware(HostCheck, settings=SETTINGS),
        Middleware(SessionCheck, cookie=cookie_name(SETTINGS.port)),
        Middleware(BrowserIdMiddleware),
    ],
)
