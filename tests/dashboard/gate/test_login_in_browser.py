"""Files of a person who is logged in are taken from that browser, and from no other that knows the session."""

from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from playwright.sync_api import Page, Request, expect
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from dashboard.app.settings import DashboardSettings
from dashboard.auth.login_handover import ROUTE
from storage.line.stations import Station
from testing.chromium import running_dashboard
from tests.dashboard.browser_actions import EXPECT_TIMEOUT_MS, TEST_TIMEOUT_S
from tests.dashboard.seeding import Scene, SeededStorage, jpeg
from tests.dashboard.seeding_activity import PASSWORD, add_users

pytestmark = [pytest.mark.browser, pytest.mark.timeout(TEST_TIMEOUT_S)]


@pytest.fixture
def address(line: SeededStorage) -> Iterator[str]:
    add_users(line, datetime.now(UTC))
    with running_dashboard(line.database_url, line.images_url, DashboardSettings()) as address:
        yield address


def status_of(upload: str, headers: dict[str, str]) -> int:
    """Return the status with which an upload to this address is answered."""
    connection = HTTPConnection(urlsplit(upload).netloc, timeout=60)
    connection.request("DELETE", urlsplit(upload).path, headers=headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status


def log_in(page: Page, address: str) -> None:
    expect.set_options(timeout=EXPECT_TIMEOUT_MS)
    page.goto(address)
    page.get_by_label("Name").fill("engineer")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    with page.expect_response(lambda response: response.url.endswith(ROUTE)):  # which sets the cookie
        page.get_by_role("button", name="Log in").click()


def first_run(address: str, session: str, cookies: str) -> tuple[str, bytes]:
    """Connect as Streamlit's page does to resume a session; return the id of what is given, and what it shows."""
    given, shown = "", b""
    url = f"{address.replace('http', 'ws')}/_stcore/stream"
    headers = {"Cookie": cookies} if cookies else {}
    protocols = [Subprotocol(each) for each in ("streamlit", "none", session)]
    with connect(url, subprotocols=protocols, additional_headers=headers, max_size=None) as websocket:
        request = BackMsg()
        request.rerun_script.query_string = ""
        websocket.send(request.SerializeToString())
        while True:
            data = websocket.recv(timeout=60)
            assert isinstance(data, bytes)
            shown += data
            message = ForwardMsg.FromString(data)
            if message.WhichOneof("type") == "new_session":
                given = message.new_session.initialize.session_id
            if message.WhichOneof("type") == "script_finished":
                return given, shown


def test_the_id_of_a_session_resumes_it_in_the_browser_of_its_login_alone(
    page: Page, address: str, s1: Station
) -> None:
    received: list[str | bytes] = []
    page.on("websocket", lambda websocket: websocket.on("framereceived", lambda data: received.append(data)))
    log_in(page, address)
    expect(page.locator(".st-key-account")).to_contain_text("engineer")
    messages = [ForwardMsg.FromString(data) for data in received if isinstance(data, bytes)]
    (session,) = {
        each.new_session.initialize.session_id for each in messages if each.WhichOneof("type") == "new_session"
    }
    cookies = "; ".join(f"{each['name']}={each['value']}" for each in page.context.cookies())
    given, shown = first_run(address, session, "")
    assert given != session
    assert b"Log in" in shown
    assert b"coin" not in shown
    given, shown = first_run(address, session, cookies)
    assert given == session
    assert b"coin" in shown


def test_an_upload_needs_the_browser_of_the_login(
    page: Page, address: str, s1: Station, coins: Scene, tmp_path: Path
) -> None:
    picture = tmp_path / "good.jpg"
    picture.write_bytes(jpeg(coins.frame(np.random.default_rng(1))))
    uploads: list[Request] = []
    page.on("request", lambda request: uploads.append(request) if request.method == "PUT" else None)
    log_in(page, address)
    page.goto(f"{address}/add-station")
    page.get_by_role("button", name=s1.name, exact=True).click()
    page.locator('input[type="file"]').set_input_files(picture)
    expect(page.get_by_text("1 good part")).to_be_visible()

    (upload,) = uploads
    headers = upload.all_headers()
    own: dict[str, str] = {name: value for name, value in headers.items() if name in {"cookie", "x-xsrftoken"}}
    without_login = {
        **own,
        "cookie": "; ".join(part for part in own["cookie"].split("; ") if "andon_login" not in part),
    }
    assert status_of(upload.url, without_login) == 401
    assert status_of(upload.url, own) == 204
