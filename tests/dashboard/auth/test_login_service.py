"""Logging in through a login service (OIDC): a real provider, Streamlit's own login, and a real Chromium."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from dashboard.app.settings import DashboardSettings
from storage.actions import users as actions
from storage.auth.actors import Role
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from storage.review import reviews
from testing.chromium import running_dashboard
from testing.ports import free_port
from testing.services.openid_provider import running_openid_provider
from tests.dashboard.browser_actions import EXPECT_TIMEOUT_MS, TEST_TIMEOUT_S
from tests.dashboard.seeding import SeededStorage, verdict
from tests.dashboard.seeding_activity import add_users

pytestmark = [pytest.mark.browser, pytest.mark.timeout(TEST_TIMEOUT_S)]

MIA, EVE, MAX = "mia@plant.example", "eve@plant.example", "max@plant.example"
KNOWN_THERE = (
    {"sub": "1", "email": MIA, "email_verified": True},
    {"sub": "2", "email": EVE, "email_verified": True},
    {"sub": "3", "email": MAX, "email_verified": False},
)
LOGIN_FILE = """[auth]
redirect_uri = "http://127.0.0.1:{port}/oauth2callback"
cookie_secret = "only this test knows it, and it is long"
client_id = "andon"
client_secret = "as the service gave it"
server_metadata_url = "{service}/.well-known/openid-configuration"
"""


@pytest.fixture(autouse=True)
def expect_timeout() -> None:
    expect.set_options(timeout=EXPECT_TIMEOUT_MS)


@pytest.fixture
def address(line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, tmp_path: Path) -> Iterator[str]:
    """A dashboard with a login service; Mia is an inspector in Andon, Max is a user, Eve is no user of Andon."""
    boss = add_users(line, now)[Role.ADMIN]
    with line.database.begin() as session:
        for name in (MIA, MAX):
            actions.add(session, boss, name, Role.INSPECTOR, None, now)
    line.verdicts(verdict(line, s1, normal_set, 1, now, 0.9))
    port, login_file = free_port(), tmp_path / "login.toml"
    with running_openid_provider(KNOWN_THERE) as service:
        login_file.write_text(LOGIN_FILE.format(port=port, service=service))
        settings = DashboardSettings(login_file=login_file)
        with running_dashboard(line.database_url, line.images_url, settings, port) as at:
            yield at


def log_in(page: Page, sub: str) -> None:
    page.get_by_role("button", name="Log in with your organisation").click()
    page.get_by_role("button", name=sub, exact=True).click()


def log_out(page: Page, button: str) -> None:
    """Andon ends its session and redirects to the service to end the service's session."""
    page.get_by_role("button", name=button).click()
    page.get_by_role("button", name="End session").click()


def test_the_service_identifies_a_user_and_andon_gives_the_role(page: Page, address: str, line: SeededStorage) -> None:
    page.goto(f"{address}/review")
    log_in(page, "2")
    expect(page.get_by_role("alert")).to_contain_text(EVE)
    log_out(page, "Use another account")
    log_in(page, "3")
    expect(page.get_by_role("alert")).to_contain_text("no verified email")
    log_out(page, "Use another account")
    log_in(page, "1")
    expect(page.get_by_role("button", name=MIA)).to_be_visible()
    page.get_by_role("link", name="Settings").click()
    expect(page.get_by_role("heading", name="Settings")).to_be_visible()
    expect(page.get_by_role("button", name="Add user")).to_have_count(0)
    page.reload()
    page.get_by_role("link", name="Review").click()
    page.get_by_role("button", name="Defect", exact=False).first.click()
    expect(page.locator(".andon-today")).to_contain_text("1 labelled by you")
    with line.database.read() as session:
        assert [(one.by, one.label) for one in reviews.recent(session)] == [(MIA, "defect")]
    page.get_by_role("button", name=MIA).click()
    log_out(page, "Log out")
    expect(page.get_by_role("button", name="Log in with your organisation")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Log in with your organisation")).to_be_visible()
