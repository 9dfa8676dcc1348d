"""From an alert to fewer false rejects and back, with a real scorer, a real alert monitor and a real Chromium.

An alert is acknowledged, ten frames are labelled by keyboard, two false rejects go into a draft, a scorer computes what
would change, the draft is activated, false rejects fall, it is rolled back, and all of it is in the audit log.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect

from alerts.monitor.monitor import AlertMonitor
from dashboard.app.settings import DashboardSettings
from foundation.clock import utc_now
from storage.alerts import alerts
from storage.auth import audit_log
from storage.line import normal_sets, stations, verdicts
from storage.review import labels
from testing.chromium import running_dashboard
from testing.line import START, Line, ProgressWaiter, running
from tests.dashboard.browser_actions import EXPECT_TIMEOUT_MS, TEST_TIMEOUT_S, act_until, wait_until_drawn

pytestmark = [pytest.mark.browser, pytest.mark.timeout(TEST_TIMEOUT_S), pytest.mark.usefixtures("one_thread")]

GOOD, ODD = 12, 14
"""Send good parts, then parts to be flagged: with a dark mark that the customer accepts by now."""
PRESS = "press-1"
ACTIONS = ["alert.acknowledge", "normal_set.add", "job.start", "normal_set.activate", "normal_set.rollback"]


@pytest.fixture(autouse=True)
def expect_timeout() -> None:
    expect.set_options(timeout=EXPECT_TIMEOUT_MS)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path)
    made.published = int((datetime.now(UTC) - START).total_seconds()) - 600  # the camera's clock is right
    made.add_station(PRESS)
    made.add_normal_set(PRESS)
    yield made
    made.close()


def test_from_an_alert_to_fewer_false_rejects_and_back(page: Page, line: Line) -> None:
    settings = DashboardSettings(refresh_every_s=1)
    database_url, images_url = f"sqlite:///{line.folder / 'andon.sqlite'}", str(line.folder / "images")
    with running(line.worker()) as counted, running_dashboard(database_url, images_url, settings) as address:
        line.publish_parts(PRESS, GOOD)
        counted.wait_for(lambda done: done.verdicts == GOOD)
        assert flagged_odd_frames(line, counted) == ODD
        AlertMonitor(line.database, utc_now).run_round()
        acknowledge(page, address, line)
        label_ten(page, line)
        create_a_draft_of_two(page)
        try_and_activate(page)
        until_scored_with(line, counted, 2)
        assert flagged_odd_frames(line, counted) < ODD / 2
        page.goto(f"{address}/normals?station={PRESS}&view=Versions")
        page.get_by_role("button", name="Roll back to version 1").click()
        expect(page.get_by_role("button", name="Roll back to version 2")).to_be_visible()
        until_scored_with(line, counted, 1)
        assert flagged_odd_frames(line, counted) == ODD
        everything_is_in_the_audit_log(line)


def flagged_odd_frames(line: Line, counted: ProgressWaiter) -> int:
    """Send frames of odd parts and return how many of them were flagged."""
    before = counted.latest
    line.publish_parts(PRESS, ODD, defect=lambda _: True)
    wait_for_more(counted, before.verdicts, ODD)
    return counted.latest.flagged - before.flagged


def wait_for_more(counted: ProgressWaiter, before: int, number: int) -> None:
    """Wait until the scorer has made `number` more verdicts than `before`."""
    counted.wait_for(lambda done: done.verdicts == before + number)


def until_scored_with(line: Line, counted: ProgressWaiter, version: int) -> None:
    """Send good frames, one after the other, until the scorer compares them with a version of the normal set."""
    for _ in range(100):
        before = counted.latest.verdicts
        line.publish_parts(PRESS, 1)
        wait_for_more(counted, before, 1)
        with line.database.read() as session:
            station = stations.get(session, PRESS)
            wanted = normal_sets.get(session, station.id, version)
            newest = verdicts.recent(session, station.id, limit=1)[0]
        if newest.normal_set_id == wanted.id:
            return
        time.sleep(0.1)
    raise AssertionError(f"no frame was compared with version {version}")


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


def label_ten(page: Page, line: Line) -> None:
    """Propose two false rejects for the normal set and label eight more, each when its frame is on the screen."""
    page.get_by_role("link", name="Review").click()
    frame = page.locator(".st-key-card-review .andon-verdict").filter(visible=True)
    for number in range(10):
        expect(page.get_by_role("button", name="Good, add to normal set")).to_be_enabled()
        wait_until_drawn(page)
        shown = str(frame.get_attribute("data-frame"))
        page.keyboard.press("g" if number < 2 else "f")
        expect(frame).not_to_have_attribute("data-frame", shown)
        with line.database.read() as session:
            assert UUID(shown) in labels.current(session, [UUID(shown)])


def choose_view(page: Page, name: str, card: str) -> None:
    """Choose a view of the normal sets and wait for a card of it."""
    act_until(
        lambda: page.get_by_role("radio", name=name).click(timeout=4_000),
        lambda ms: expect(page.locator(f".st-key-card-{card}")).to_be_visible(timeout=ms),
    )


def create_a_draft_of_two(page: Page) -> None:
    page.get_by_role("link", name="Normal sets").click()
    choose_view(page, "Draft", "candidates")
    expect(page.get_by_text("The draft would have 6 images")).to_be_visible()
    page.locator(".st-key-draft_note input").fill("dark marks are accepted")
    page.locator(".st-key-create-draft button").click()
    expect(page.locator(".st-key-card-version .andon-h").first).to_contain_text("Version 2")


def try_and_activate(page: Page) -> None:
    choose_view(page, "What if", "what-if")
    page.locator('[class*="st-key-start-"] button').click()
    result = page.locator(".st-key-card-result")
    expect(result).to_contain_text("If version 2 were active")
    expect(result).to_contain_text("8 → ")  # the two that joined the draft are left out
    wait_until_drawn(page)
    result.locator('[class*="st-key-activation_reason"] input').fill("the customer accepts marks")
    activate = result.locator('[class*="st-key-activate-"] button')
    activate.click()
    expect(activate).to_have_count(0)


def everything_is_in_the_audit_log(line: Line) -> None:
    with line.database.read() as session:
        actions = [entry.action for entry in reversed(audit_log.list_entries(session))]
        active = normal_sets.active(session, stations.get(session, PRESS).id)
    assert active is not None
    assert active.version == 1
    assert actions.count("review.label") == 10
    assert [action for action in actions if action not in ("review.label", "normal_set.propose")] == ACTIONS
