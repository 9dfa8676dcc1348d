"""The real server's gate: what reaches Streamlit, and with which headers its answers leave."""

from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse

import pytest

from dashboard.app.settings import DashboardSettings
from dashboard.gate.headers import HEADERS
from testing.chromium import running_dashboard
from tests.dashboard.seeding import SeededStorage

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    line = SeededStorage.new(tmp_path_factory.mktemp("line"))
    settings = DashboardSettings(allowed_hosts="andon.plant.example")
    with running_dashboard(line.database_url, line.images_url, settings) as running:
        yield running.removeprefix("http://")


def request(address: str, path: str, method: str = "GET", **headers: str) -> HTTPResponse:
    connection = HTTPConnection(address, timeout=30)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


@pytest.mark.parametrize("path", ["/", "/wall", "/_stcore/health", "/media/no-such-file", "/andon/login"])
def test_every_route_answers_with_the_headers_also_when_it_refuses(address: str, path: str) -> None:
    for host in (address, "evil.example"):
        response = request(address, path, Host=host)
        assert {name: response.getheader(name) for name in HEADERS} == HEADERS


WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def test_a_rebound_name_is_refused_on_every_route(address: str) -> None:
    for path in ("/", "/_stcore/health", "/_stcore/host-config"):
        assert request(address, path).status == 200
        assert request(address, path, Host="andon.plant.example").status == 200
        assert request(address, path, Host="evil.example").status == 400
    assert request(address, "/_stcore/stream", **WEBSOCKET, Host="evil.example").status == 403


def test_a_websocket_opens_for_our_own_page_and_for_no_other(address: str) -> None:
    for origin, expected in (
        (f"http://{address}", 101),
        ("https://andon.plant.example", 101),
        ("http://evil.example", 403),
        ("http://localhost:9", 403),
    ):
        connection = HTTPConnection(address, timeout=30)
        headers = {name.replace("_", "-"): value for name, value in WEBSOCKET.items()}
        connection.request("GET", "/_stcore/stream", headers=headers | {"Origin": origin})
        assert connection.getresponse().status == expected, origin
        connection.close()


def test_an_upload_without_a_login_is_refused_before_it_is_read(address: str) -> None:
    connection = HTTPConnection(address, timeout=30)
    connection.putrequest("PUT", "/_stcore/upload_file/some-session/1")
    connection.putheader("Content-Length", "80000000")
    connection.endheaders()  # and no body
    assert connection.getresponse().status == 401
    connection.close()
