"""Calls of an ASGI application without a server: one request, and what was sent in answer."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept every websocket, and answer every request with the number of bytes of its body."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
    await send({"type": "http.response.body", "body": str(size).encode()})


def call(
    app: ASGIApp,
    path: str = "/",
    headers: Mapping[str, str] | None = None,
    *,
    kind: str = "http",
    method: str = "GET",
    body: Sequence[bytes] = (b"",),
) -> list[Message]:
    """Return the messages with which `app` answers one request or one websocket."""
    sent: list[Message] = []
    parts = list(body)
    scope: dict[str, Any] = {
        "type": kind,
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
        "client": ("10.0.0.9", 5000),
        "subprotocols": [],
    }

    async def receive() -> Message:
        if kind == "websocket":
            return {"type": "websocket.connect"}
        part = parts.pop(0) if parts else b""
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message: Message) -> None:
        sent.append(message)

    async def run() -> None:
        await app(scope, receive, send)

    with ThreadPoolExecutor(1) as pool:  # Playwright's loop may run in the tests' own thread
        pool.submit(lambda: asyncio.run(run())).result()
    return sent


def status(sent: Sequence[Message]) -> int | str:
    """Return the status of a response, or what became of a websocket: ``accept`` or ``close``."""
    first = sent[0]
    return int(first["status"]) if "status" in first else str(first["type"]).removeprefix("websocket.")
