"""The whole story of the desk, with a real scorer, a real alert watch and a real Chromium.

An alert is acknowledged, ten frames are reviewed by keyboard, two false alarms go into a draft, a scorer works out what
would change, the draft is activated, false rejects fall, it is rolled back, and all of it stands in the audit log.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from alerts.monitor.monitor import AlertMonitor
from dashboard.app.settings import DashboardSettings
from storage.alerts import alerts
from storage.auth import audit_log
from storage.line import normal_sets, stations
from storage.review import labels
from testing.chromium import running_dashboard
from testing.line import START, Counted, Line, working
from tests.dashboard.test_live_pages_in_browser import act_until

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("one_thread")]

GOOD, ODD = 12, 14
"""Frames of good parts, then as many as are flagged: parts with a dark mark that the customer accepts by now."""


@pytest.fixture(autouse=True)
def patience() -> None:
    expect.set_options(timeout=60_000)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path)
    made.published = int((datetime.now(UTC) - START).total_seconds()) - 600  # the camera's clock is right
    made.station("press-1")
    made.normals("press-1")
    yield made
    made.close()


def odd_frames(line: Line, counted: Counted, before: int) -> int:
    """Send them, and say how many were flagged once they are decided."""
    flagged = counted.latest.flagged
    line.frames("press-1", ODD, defect=lambda _: True)
    counted.wait_for(lambda done: done.verdicts == before + ODD)
    return counted.latest.flagged - flagged


def settled(page: Page) -> None:
    expect(page.locator('.stApp[data-test-script-state="notRunning"]')).to_be_visible()


@pytest.mark.timeout(400)
def test_from_an_alert_to_fewer_false_alarms_and_back(page: Page, line: Line) -> None:
    settings = DashboardSettings(refresh_every_s=1)
    database_url, images_url = f"sqlite:///{line.folder / 'andon.sqlite'}", str(line.folder / "images")
    with working(line.worker()) as counted, running_dashboard(database_url, images_url, settings) as address:
        line.frames("press-1", GOOD)
        counted.wait_for(lambda done: done.verdicts == GOOD)
        assert odd_frames(line, counted, GOOD) == ODD
        AlertMonitor(line.database, lambda: datetime.now(UTC)).look()
        acknowledge(page, address, line)
        review_ten(page, line)
        make_a_draft_of_two(page)
        what_if_and_activate(page)
        seen = GOOD + ODD
        assert odd_frames(line, counted, seen) < ODD / 2
        page.get_by_role("radio", name="Versions").click()
        page.get_by_role("button", name="Roll back to version 1").click()
        expect(page.get_by_role("button", name="Roll back to version 2")).to_be_visible()
        assert odd_frames(line, counted, seen + ODD) == ODD
        all_of_it_is_in_the_audit_log(page, address, line)


def acknowledge(page: Page, address: str, line: Line) -> None:
    with line.database.read() as session:
        opened = next(alert for alert in alerts.recent(session) if alert.rule == "consecutive")
    page.goto(f"{address}/alerts?alert={opened.id}")
    act_until(
        lambda: page.get_by_role("button", name="Acknowledge").click(timeout=4_000),
        lambda ms: expect(page.locator(f'[data-alert="{opened.id}"]')).to_have_attribute(
            "data-state", "acknowledged", timeout=ms
        ),
    )


def review_ten(page: Page, line: Line) -> None:
    """Two good parts for the normal set, eight false alarms, each key pressed when the next frame is there."""
    page.get_by_role("link", name="Review").click()
    for number in range(10):
        expect(page.get_by_role("button", name="Good, and into the normal set")).to_be_enabled()
        settled(page)
        page.keyboard.press("g" if number < 2 else "f")
        until_reviewed(page, line, number + 1)


def until_reviewed(page: Page, line: Line, wanted: int) -> None:
    for _ in range(600):
        with line.database.read() as session:
            station = stations.get(session, "press-1")
            if len(labels.recent(session, station.id)) == wanted:
                return
        page.wait_for_timeout(50)
    raise AssertionError(f"{wanted} reviews did not arrive")


def make_a_draft_of_two(page: Page) -> None:
    page.get_by_role("link", name="Normal sets").click()
    page.get_by_role("radio", name="Draft").click()
    expect(page.get_by_text("The draft would have 6 images")).to_be_visible()
    page.get_by_placeholder("such as: parts of the new supplier").fill("dark marks are accepted")
    page.get_by_role("button", name="Make a draft").click()
    expect(page.locator(".st-key-card-version .andon-h").first).to_contain_text("Version 2")


def what_if_and_activate(page: Page) -> None:
    page.get_by_role("radio", name="What if").click()
    page.get_by_role("button", name="Work it out").click()
    result = page.locator(".st-key-card-result")
    expect(result).to_contain_text("If version 2 were active")
    expect(result).to_contain_text("10 → ")
    settled(page)
    result.get_by_placeholder("such as: two false alarms added").fill("the customer accepts marks")
    result.get_by_role("button", name="Activate version 2").click()
    expect(page.get_by_text("Version 2 is active.")).to_be_visible()


def all_of_it_is_in_the_audit_log(page: Page, address: str, line: Line) -> None:
    page.goto(f"{address}/audit")
    expect(page.get_by_role("heading", name="Audit")).to_be_visible()
    with line.database.read() as session:
        deeds = [entry.action for entry in reversed(audit_log.list_entries(session))]
        station = stations.get(session, "press-1")
        active = normal_sets.active(session, station.id)
    assert active is not None
    assert active.version == 1
    assert deeds.count("review.label") == 10
    others = [deed for deed in deeds if deed not in ("review.label", "normal_set.propose")]
    assert others == ["alert.acknowledge", "normal_set.add", "job.start", "normal_set.activate", "normal_set.rollback"]
