"""A database that another process has locked: what the pages say meanwhile, and that they go on by themselves."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from testing.chromium import running_dashboard
from tests.dashboard.browser_actions import EXPECT_TIMEOUT_MS, TEST_TIMEOUT_S
from tests.dashboard.seeding import SeededStorage, verdict

pytestmark = [pytest.mark.browser, pytest.mark.timeout(TEST_TIMEOUT_S)]


@pytest.fixture
def address(line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime) -> Iterator[str]:
    line.verdicts(verdict(line, s1, normal_set, 1, now, 0.5))
    line.worker("scorer-1", now - timedelta(seconds=40))  # it can't write its heartbeat
    with running_dashboard(line.database_url, line.images_url) as at:
        yield at


def test_the_pages_say_that_the_database_is_locked_and_continue_once_it_is_not(
    page: Page, address: str, line: SeededStorage
) -> None:
    expect.set_options(timeout=EXPECT_TIMEOUT_MS)
    with closing(sqlite3.connect(line.database_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        page.goto(address)
        expect(page.get_by_text("No scorer can report: The database")).to_be_visible()
        expect(page.locator(".st-key-tile-1")).to_contain_text("No heartbeat for")
        page.get_by_role("link", name="Review", exact=True).click()
        expect(page.get_by_text("is locked by another process")).to_be_visible()
        expect(page.get_by_role("button", name="Defect")).to_have_count(0)
        other.execute("ROLLBACK")
    expect(page.get_by_role("button", name="Defect")).to_be_enabled()
    expect(page.get_by_text("is locked by another process")).to_have_count(0)
