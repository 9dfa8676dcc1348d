"""Normal sets as an engineer uses them: a real Chromium, from false alarms to a draft, activated and rolled back."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from dashboard.app.settings import DashboardSettings
from storage.auth import audit_log
from storage.line import jobs, normal_sets, what_if
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from storage.line.what_if import WhatIfRequest
from testing.chromium import running_dashboard
from tests.dashboard.browser_actions import EXPECT_TIMEOUT_MS, TEST_TIMEOUT_S, wait_until_drawn
from tests.dashboard.seeding import MODEL, Scene, SeededStorage, jpeg, verdict

pytestmark = [pytest.mark.browser, pytest.mark.timeout(TEST_TIMEOUT_S)]


@pytest.fixture(autouse=True)
def expect_timeout() -> None:
    expect.set_options(timeout=EXPECT_TIMEOUT_MS)


@pytest.fixture
def address(line: SeededStorage, s1: Station, normal_set: NormalSet, coins: Scene, now: datetime) -> Iterator[str]:
    chance = np.random.default_rng(6)
    line.verdicts(
        *(
            verdict(
                line,
                s1,
                normal_set,
                n,
                now - timedelta(minutes=n + 1),
                0.5 + n / 100,
                image_reference=line.images.put(jpeg(coins.frame(chance))),
            )
            for n in range(6)
        )
    )
    with running_dashboard(line.database_url, line.images_url, DashboardSettings(refresh_every_s=1)) as at:
        yield at


def scorer_works(line: SeededStorage, now: datetime) -> None:
    """Run the waiting what-if as a scorer would: frames labelled as false alarms would pass."""
    with line.database.begin() as session:
        job = jobs.claim(session, "scorer-1", ["what_if"], now)
        assert job is not None
        asked = WhatIfRequest.from_json(job.payload)
        frames = what_if.frames_to_rescore(session, job.station_id, asked.last)
        scores = {frame.frame_id: 0.3 if frame.label == "false_alarm" else frame.score for frame in frames}
        result = what_if.compare(asked, MODEL, 0.4, "5 normals guarantee little.", frames, scores, {})
        assert jobs.finish(session, job.id, "scorer-1", result.to_json(), now)


def test_two_false_rejects_become_a_version_that_is_previewed_activated_and_rolled_back(
    page: Page, address: str, line: SeededStorage, s1: Station, now: datetime
) -> None:
    page.goto(f"{address}/review")
    for number in range(2):
        expect(page.locator(".st-key-card-review .andon-score").filter(visible=True)).to_contain_text(
            f"score 0.{50 + number}0"
        )
        expect(page.get_by_role("button", name="Good, add to normal set")).to_be_enabled()
        wait_until_drawn(page)
        page.keyboard.press("g")
    expect(page.locator(".st-key-card-review .andon-score").filter(visible=True)).to_contain_text("score 0.520")

    page.get_by_role("link", name="Normal sets").click()
    page.get_by_role("radio", name="Draft").click()
    expect(page.get_by_text("The draft would have 5 images")).to_be_visible()
    page.get_by_placeholder("e.g. parts of the new supplier").fill("two false alarms")
    page.get_by_role("button", name="Create draft").click()
    expect(page.locator(".st-key-card-version .andon-h").first).to_contain_text("Version 2")
    expect(page.locator(".st-key-card-compare")).to_contain_text("2 images")

    page.get_by_role("radio", name="What if").click()
    expect(page.get_by_text("No scorer is running").first).to_be_visible()
    page.get_by_role("button", name="Start what-if").click()
    expect(page.get_by_text("waiting for a scorer")).to_be_visible()
    scorer_works(line, now)
    result = page.locator(".st-key-card-result")
    expect(result).to_contain_text("If version 2 were active")
    expect(result).to_contain_text("2 → 0")
    wait_until_drawn(page)
    result.get_by_placeholder("e.g. two false rejects added").fill("fewer false alarms")
    result.get_by_role("button", name="Activate version 2").click()
    expect(page.get_by_text("Version 2 is active.")).to_be_visible()
    assert active(line, s1) == 2

    page.get_by_role("radio", name="Versions").click()
    page.get_by_role("button", name="Roll back to version 1").click()
    expect(page.get_by_role("button", name="Roll back to version 2")).to_be_visible()
    assert active(line, s1) == 1
    with line.database.read() as session:
        actions_taken = [entry.action for entry in reversed(audit_log.list_entries(session))]
    assert actions_taken == [
        *("review.label", "normal_set.propose", "review.label", "normal_set.propose"),
        *("normal_set.add", "normal_set.propose", "job.start", "normal_set.activate", "normal_set.rollback"),
    ]


def test_no_page_scrolls_sideways(page: Page, address: str) -> None:
    main = "document.querySelector('.stMain')"
    for where in (
        "normals?view=Versions",
        "normals?view=Draft",
        "normals?view=Threshold",
        "review",
        "review?mode=Grid",
    ):
        for width in (900, 1440):
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(f"{address}/{where}")
            expect(page.locator('[class*="st-key-card-"], [class*="st-key-choice-"]').first).to_be_visible()
            wait_until_drawn(page)
            assert page.evaluate(f"{main}.scrollWidth - {main}.clientWidth") == 0, (where, width)


def active(line: SeededStorage, place: Station) -> int:
    with line.database.read() as session:
        found = normal_sets.active(session, place.id)
    assert found is not None
    return found.version
