"""A board whose server does not answer says so itself, in a real Chromium."""

import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from dashboard.app.settings import DashboardSettings
from testing.chromium import running_dashboard
from tests.dashboard.browser_actions import EXPECT_TIMEOUT_MS, TEST_TIMEOUT_S
from tests.dashboard.seeding import Plan, SeededStorage, good_parts, verdict

pytestmark = [pytest.mark.browser, pytest.mark.timeout(TEST_TIMEOUT_S)]


def process_of(address: str) -> int:
    """Return the id of the dashboard's process, by its port."""
    port = address.rsplit(":", 1)[1]
    found = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and port in _arguments(entry) and any("streamlit" in each for each in _arguments(entry))
    ]
    assert len(found) == 1, found
    return found[0]


def _arguments(entry: Path) -> list[str]:
    try:
        words = (entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:  # it has ended
        return []
    return [part for word in words for part in word.split("=")]


def test_a_wall_whose_server_stands_still_turns_grey_says_since_when_and_recovers(page: Page, tmp_path: Path) -> None:
    line = SeededStorage.new(tmp_path)
    now = datetime.now(UTC)
    station = line.station("s1", now - timedelta(days=2), object_name="coin", stale_after_s=3600)
    normal_set = line.normals(
        station, good_parts(Plan("s1", "coins"), np.random.default_rng(3)), now - timedelta(days=1)
    )
    line.verdicts(verdict(line, station, normal_set, 1, now, 0.2))
    line.worker("scorer-1", now + timedelta(hours=1))
    expect.set_options(timeout=EXPECT_TIMEOUT_MS)
    with running_dashboard(line.database_url, line.images_url, DashboardSettings(refresh_every_s=0.5)) as address:
        page.goto(address)
        expect(page.locator("[data-state=running]")).to_be_visible()
        note, age = page.locator(".andon-frozen-note"), page.locator("[data-age-s]")
        expect(note).to_have_count(0)
        page.wait_for_function("window.andonFreshnessParts?.has('wall')")  # the browser has loaded what watches
        process = process_of(address)
        os.kill(process, signal.SIGSTOP)
        try:
            expect(note).to_be_visible()
            expect(page.locator("html")).to_have_class("andon-frozen")
            before = age.text_content() or ""
            expect(age).not_to_have_text(before, timeout=2 * EXPECT_TIMEOUT_MS)  # ages go on, perhaps by the minute
        finally:
            os.kill(process, signal.SIGCONT)
        expect(note).to_have_count(0)
        expect(page.locator("html")).not_to_have_class("andon-frozen")
