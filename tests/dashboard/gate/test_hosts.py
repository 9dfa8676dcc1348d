"""Requests under a name that is not ours, and websockets of other sites, are refused."""

import socket

import pytest

from dashboard.app.settings import DashboardSettings
from dashboard.gate.hosts import HostCheck
from foundation.addresses import is_loopback
from tests.dashboard.gate.asgi_calls import answer, call, status

CHECK = HostCheck(answer, DashboardSettings(host="0.0.0.0", allowed_hosts="andon.plant.example, Line-3"))


@pytest.mark.parametrize(
    "host",
    [
        *("localhost:8501", "127.0.0.1:8501", "[::1]:8501", "10.0.0.5", "LOCALHOST", "localhost.:8501"),
        *("andon.plant.example", "line-3:80", f"{socket.gethostname()}:8501"),
    ],
)
def test_a_host_of_ours_is_served(host: str) -> None:
    assert status(call(CHECK, headers={"Host": host})) == 200
    assert status(call(CHECK, headers={"Host": host}, kind="websocket")) == "accept"


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8501", "andon.plant.example.evil.example", "", "localhost@evil.example"),
        *("localhost/evil.example", "localhost:port", "127.0.0.1.evil.example"),
    ],
)
def test_another_host_is_refused(host: str) -> None:
    assert status(call(CHECK, headers={"Host": host})) == 400
    assert status(call(CHECK, headers={"Host": host}, kind="websocket")) == "close"


def test_a_request_without_a_host_is_refused() -> None:
    assert status(call(CHECK)) == 400


@pytest.mark.parametrize(
    ("host", "origin", "outcome"),
    [
        ("localhost:8501", "http://localhost:8501", "accept"),
        ("localhost:8501", None, "accept"),  # no browser
        ("andon.plant.example", "https://andon.plant.example", "accept"),
        ("10.0.0.5:8501", "https://andon.plant.example", "accept"),  # a proxy that keeps the name to itself
        ("localhost:8501", "http://localhost:9999", "close"),
        ("localhost:8501", "http://evil.example", "close"),
        ("10.0.0.5:8501", "http://10.0.0.66:8501", "close"),
        ("localhost:8501", "null", "close"),
        ("localhost:8501", "http://localhost:port", "close"),
    ],
)
def test_a_websocket_is_opened_by_our_own_page_only(host: str, origin: str | None, outcome: str) -> None:
    headers = {"Host": host} | ({} if origin is None else {"Origin": origin})
    assert status(call(CHECK, headers=headers, kind="websocket")) == outcome


def test_a_star_allows_any_name() -> None:
    check = HostCheck(answer, DashboardSettings(allowed_hosts="*"))
    assert status(call(check, headers={"Host": "any.example", "Origin": "http://other.example"}, kind="websocket")) == (
        "accept"
    )


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False), ("line-3", False)],
)
def test_who_reaches_a_server_depends_on_its_address(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
