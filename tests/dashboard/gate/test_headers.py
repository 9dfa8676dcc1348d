"""Every answer tells the browser what the page may do."""

from dashboard.gate.headers import HEADERS, SecurityHeaders
from tests.dashboard.gate.asgi_calls import answer, call


def test_every_answer_carries_each_header_once() -> None:
    first = call(SecurityHeaders(answer), "/wall")[0]
    names = [name.decode() for name, _ in first["headers"]]
    assert sorted(names) == sorted({name.lower() for name in HEADERS} | {"content-type"})


def test_a_websocket_is_left_alone() -> None:
    assert call(SecurityHeaders(answer), kind="websocket") == [{"type": "websocket.accept"}]
