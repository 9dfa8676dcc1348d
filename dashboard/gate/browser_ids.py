"""Give each browser an id in a cookie, which tells two browsers of one person apart (`dashboard.auth.browser`)."""

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.auth.browser import new_id


class BrowserIds:
    """Gives each browser that opens a page without an id a new one, in a cookie that lasts until the browser ends."""

    def __init__(self, app: ASGIApp, cookie: str) -> None:
        """Wrap the application that answers the requests; `cookie` is the name of the cookie."""
        self._app = app
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add the cookie to the answer where it is a page's and the browser sent none."""
        if scope["type"] != "http" or not self._needs_id(Request(scope)):
            await self._app(scope, receive, send)
            return

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = Response()
                answer.set_cookie(self._cookie, new_id(), httponly=True, samesite="strict")
                MutableHeaders(scope=message).append("Set-Cookie", answer.headers["Set-Cookie"])
            await send(message)

        await self._app(scope, receive, send_with_id)

    def _needs_id(self, request: Request) -> bool:
        is_page = "text/html" in request.headers.get("Accept", "")
        return is_page and self._cookie not in request.cookies
