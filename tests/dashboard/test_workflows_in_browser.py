"""Adding a first station, handling an alert, logging in and out, in a real Chromium."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from dashboard.app.settings import DashboardSettings
from storage.alerts import alerts
from storage.auth import audit_log
from storage.line import normal_sets, stations
from testing.chromium import running_dashboard
from tests.dashboard.browser_actions import EXPECT_TIMEOUT_MS, TEST_TIMEOUT_S, act_until, wait_until_drawn
from tests.dashboard.seeding import Scene, SeededStorage, jpeg, photograph, verdict
from tests.dashboard.seeding_activity import PASSWORD, add_users, alert, reviewed

pytestmark = [pytest.mark.browser, pytest.mark.timeout(TEST_TIMEOUT_S)]


@pytest.fixture(autouse=True)
def expect_timeout() -> None:
    expect.set_options(timeout=EXPECT_TIMEOUT_MS)


@pytest.fixture
def address(line: SeededStorage) -> Iterator[str]:
    """A dashboard over an empty line."""
    with running_dashboard(line.database_url, line.images_url, DashboardSettings()) as address:
        yield address


def test_a_first_station_is_set_up_from_nothing_to_the_first_verdict(
    page: Page, address: str, line: SeededStorage, tmp_path: Path
) -> None:
    chance, coins = np.random.default_rng(4), Scene(photograph("coins"), (160, 120))
    files = []
    for n in range(4):
        files.append(tmp_path / f"good-{n}.jpg")
        files[-1].write_bytes(jpeg(coins.frame(chance)))
    no_picture = tmp_path / "note.png"
    no_picture.write_bytes(b"this is no picture")

    page.goto(address)
    page.get_by_role("link", name="Set up the first station").click()
    page.get_by_role("textbox", name="Name").fill("press-1")
    page.get_by_label("Object that is inspected").fill("coin")
    page.get_by_role("button", name="Continue").click()
    page.locator('input[type="file"]').set_input_files([*files, no_picture])
    expect(page.get_by_role("alert")).to_contain_text("note.png")
    expect(page.get_by_text("4 good parts.")).to_be_visible()
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("at best one false reject in 5")).to_be_visible()
    page.reload()  # the parts are stored: the wizard resumes where it was
    expect(page.get_by_text("at best one false reject in 5")).to_be_visible()
    page.get_by_role("button", name="Start inspection").click()
    expect(page.get_by_text("Waiting for the first verdict")).to_be_visible()

    with line.database.read() as session:
        place = stations.get(session, "press-1")
        active = normal_sets.active(session, place.id)
    assert active is not None
    assert [image.name for image in active.images] == [file.name for file in files]
    line.verdicts(verdict(line, place, active, 1, datetime.now(UTC), 0.2))
    expect(page.locator('[data-first="pass"]')).to_contain_text("The first verdict of press-1")
    page.get_by_role("link", name="Open press-1").click()
    expect(page.locator(".andon-title h1")).to_have_text("press-1")


def test_a_login_lasts_over_a_reload_and_an_alert_is_acknowledged_then_log_out_ends_it_everywhere(
    page: Page, address: str, line: SeededStorage
) -> None:
    now = datetime.now(UTC)
    add_users(line, now)
    place = line.station("press-1", now)
    made = alert(line, place.id, "consecutive", "6 frames in a row were flagged.", now, "critical", in_a_row=6)

    page.goto(f"{address}/alerts?alert={made.id}")
    page.get_by_label("Name").fill("inspector")
    page.get_by_label("Password", exact=True).fill("a wrong password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("Name or password is not right.")
    expect(page.locator(".andon-alert")).to_have_count(0)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator(f'[data-alert="{made.id}"]')).to_have_attribute("data-state", "opened")

    def keeps_the_login(_: float) -> None:
        kept = [one for one in page.context.cookies() if one["name"].startswith("andon_login_")]
        assert [(one["httpOnly"], one["sameSite"]) for one in kept] == [(True, "Strict")]

    act_until(lambda: page.wait_for_timeout(500), keeps_the_login)  # the browser fetches it once it is logged in
    assert "andon_login" not in page.evaluate("document.cookie")
    page.reload()
    wait_until_drawn(page)
    page.get_by_label("Note").fill("belt was crooked")
    page.get_by_label("Note").press("Tab")
    act_until(
        lambda: page.get_by_role("button", name="Acknowledge").click(timeout=4_000),
        lambda ms: expect(page.locator(f'[data-alert="{made.id}"]')).to_have_attribute(
            "data-state", "acknowledged", timeout=ms
        ),
    )
    with line.database.read() as session:
        seen = alerts.get(session, made.id)
        assert (seen.acknowledged_by, seen.note) == ("inspector", "belt was crooked")
        assert audit_log.list_entries(session)[0].action == "alert.acknowledge"

    second = page.context.new_page()
    second.goto(address)
    expect(second.locator(".st-key-account")).to_contain_text("inspector")  # another tab of the same browser
    page.locator(".st-key-account").get_by_role("button").first.click()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    second.reload()
    expect(second.get_by_role("button", name="Log in")).to_be_visible()
    second.close()


@pytest.mark.parametrize(("width", "scheme"), [(900, "dark"), (1440, "light")])
def test_no_page_scrolls_sideways_after_a_login(
    page: Page, address: str, line: SeededStorage, width: int, scheme: str
) -> None:
    now = datetime.now(UTC)
    s1 = line.station("press-1", now - timedelta(days=2))
    chance, coins = np.random.default_rng(1), Scene(photograph("coins"), (160, 120))
    normal_set = line.normals(s1, [coins.frame(chance) for _ in range(3)], now - timedelta(days=1))
    line.verdicts(
        *(
            verdict(
                line, s1, normal_set, n, now - timedelta(seconds=400 - n), 0.9 if n % 40 == 0 else 0.2 + n % 7 / 100
            )
            for n in range(400)
        )
    )
    reviewed(line, s1.id, 10, now)
    alert(line, s1.id, "score_drift", "Scores of good parts are 1.4 times what they were.", now - timedelta(minutes=1))
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 900})
    for where in (
        "alerts",
        "quality",
        "quality?panel=KPIs",
        "audit",
        "settings",
        "settings?part=Stations",
        "add-station",
    ):
        page.goto(f"{address}/{where}")
        expect(page.get_by_test_id("stHeading").first).to_be_visible()
        wait_until_drawn(page)
        expect(page.get_by_test_id("stException")).to_have_count(0)
        wide = "document.querySelector('.stMain').scrollWidth - document.querySelector('.stMain').clientWidth"
        assert page.evaluate(wide) == 0, where
