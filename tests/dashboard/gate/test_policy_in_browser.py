"""The pages work within the policy that the server sends: a real Chromium reports every breach of it."""

from datetime import datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from dashboard.app.frame import PAGES
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from testing.chromium import running_dashboard
from tests.dashboard.browser_actions import EXPECT_TIMEOUT_MS, TEST_TIMEOUT_S, wait_until_drawn
from tests.dashboard.seeding import SeededStorage, verdict

pytestmark = [pytest.mark.browser, pytest.mark.timeout(TEST_TIMEOUT_S)]


def test_no_page_needs_more_than_the_policy_allows(
    page: Page, line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime
) -> None:
    line.verdicts(
        *(verdict(line, s1, normal_set, number, now - timedelta(seconds=number), 0.3) for number in range(1, 30))
    )
    expect.set_options(timeout=EXPECT_TIMEOUT_MS)
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text) if "Content Security" in message.text else None)
    with running_dashboard(line.database_url, line.images_url) as address:
        for entry in PAGES:
            page.goto(f"{address}/{entry.name}")
            wait_until_drawn(page)
        # Streamlit asks Google for the tab's icon before it has ours; nothing of a plant has to go there.
        assert [text for text in refused if "https://fonts.gstatic.com/" not in text] == []
