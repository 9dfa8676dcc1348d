"""Files of a person who is logged in are taken from that browser, and from no other that knows the session."""

from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from playwright.sync_api import Page, Request, expect

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


def test_an_upload_needs_the_browser_of_the_login(
    page: Page, address: str, s1: Station, coins: Scene, tmp_path: Path
) -> None:
    expect.set_options(timeout=EXPECT_TIMEOUT_MS)
    picture = tmp_path / "good.jpg"
    picture.write_bytes(jpeg(coins.frame(np.random.default_rng(1))))
    uploads: list[Request] = []
    page.on("request", lambda request: uploads.append(request) if request.method == "PUT" else None)
    page.goto(address)
    page.get_by_label("Name").fill("engineer")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    with page.expect_response(lambda response: response.url.endswith(ROUTE)):  # which sets the cookie
        page.get_by_role("button", name="Log in").click()
    page.goto(f"{address}/add-station")
    page.get_by_role("button", name=s1.name, exact=True).click()
    page.locator('input[type="file"]').set_input_files(picture)
    expect(page.get_by_text("1 good part")).to_be_visible()

    (upload,) = uploads
    headers = upload.all_headers()
    own = {name: headers[name] for name in ("cookie", "x-xsrftoken") if name in headers}
    without_login = {
        **own,
        "cookie": "; ".join(part for part in own["cookie"].split("; ") if "andon_login" not in part),
    }
    assert status_of(upload.url, without_login) == 401
    assert status_of(upload.url, own) == 204
