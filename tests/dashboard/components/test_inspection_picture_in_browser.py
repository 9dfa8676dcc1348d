"""The inspection picture in a real Chromium: outlines, zoom, comparison, and frames that swap at once."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from dashboard.app.settings import DashboardSettings
from storage.areas.regions import Region
from storage.blobs.anomaly_maps import encode_map
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from testing.chromium import running_dashboard
from tests.dashboard.browser_actions import EXPECT_TIMEOUT_MS, TEST_TIMEOUT_S, act_until, wait_until_drawn
from tests.dashboard.seeding import Scene, SeededStorage, jpeg, verdict

pytestmark = [pytest.mark.browser, pytest.mark.timeout(TEST_TIMEOUT_S)]
FRAMES = 6
REGION = Region("lower-left", 0.06, (0.0, 0.7, 0.3, 1.0), ((0.0, 0.7), (0.3, 0.7), (0.3, 1.0), (0.0, 1.0)))

SEEN = ".inspection:visible"
"""The picture that is seen: on the page Review the next one is drawn in a hidden slot."""

SAMPLE_EACH_FRAME = """
() => {
  window.torn = []; window.seen = new Set();
  const sample = () => {
    const card = document.querySelector('[class*="st-key-card-review"]');
    let shown;
    for (const element of document.querySelectorAll("*")) {
      const figure = element.shadowRoot?.querySelector(".inspection[data-frame]");
      if (figure?.checkVisibility({ visibilityProperty: true })) shown = figure.dataset.frame;
    }
    if (card && shown) {
      window.seen.add(shown);
      for (const element of card.querySelectorAll("[data-frame]")) {
        const visible = element.checkVisibility({ visibilityProperty: true });
        if (visible && element.dataset.frame !== shown) window.torn.push([shown, element.dataset.frame]);
      }
    }
    requestAnimationFrame(sample);
  };
  sample();
}
"""


@pytest.fixture(autouse=True)
def expect_timeout() -> None:
    expect.set_options(timeout=EXPECT_TIMEOUT_MS)


@pytest.fixture
def address(line: SeededStorage, s1: Station, normal_set: NormalSet, coins: Scene, now: datetime) -> Iterator[str]:
    """A dashboard with six flagged frames; all but the last one say where they differ."""
    chance = np.random.default_rng(5)
    heat = line.images.put(encode_map(np.eye(12, 16, dtype=np.float32)))
    made = [
        verdict(
            line,
            s1,
            normal_set,
            number,
            now - timedelta(minutes=number + 1),
            0.5 + number / 100,
            image_reference=line.images.put(jpeg(coins.frame(chance))),
            map_reference=heat,
        )
        for number in range(FRAMES)
    ]
    line.verdicts(*(replace(one, regions=(REGION,)) for one in made[:-1]), made[-1])
    with running_dashboard(line.database_url, line.images_url, DashboardSettings()) as at:
        yield at


def opened(page: Page, address: str) -> None:
    page.goto(f"{address}/review")
    expect(page.locator(".inspection[data-frame]")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Defect"))).to_be_enabled()  # drawn last
    wait_until_drawn(page)


def scale(page: Page) -> int:
    text = page.get_by_role("button", name="Whole picture").text_content() or ""
    return int(text.removesuffix(" %"))


def test_a_flagged_frame_shows_its_outline_and_says_where(page: Page, address: str) -> None:
    opened(page, address)
    expect(page.locator(".inspection .where")).to_have_text("Lower left, 6.0 % of the picture")
    expect(page.locator(".outlines polygon")).to_have_attribute("points", "0,0.7 0.3,0.7 0.3,1 0,1")
    outline, picture = (page.locator(name).bounding_box() for name in (".outlines polygon", "img.picture"))
    assert outline is not None
    assert picture is not None
    assert (outline["x"] - picture["x"]) / picture["width"] == pytest.approx(0, abs=0.02)
    assert (outline["y"] - picture["y"]) / picture["height"] == pytest.approx(0.7, abs=0.02)
    assert outline["width"] / picture["width"] == pytest.approx(0.3, abs=0.03)
    page.get_by_role("button", name="Outline").click()
    expect(page.locator(".outlines polygon")).to_be_hidden()


def test_the_keyboard_zooms_and_pans_and_leaves_the_arrows_to_the_page_at_full_size(page: Page, address: str) -> None:
    opened(page, address)
    first = page.locator(SEEN).get_attribute("data-frame") or ""
    stage = page.get_by_role("application")
    stage.focus()
    for _ in range(5):
        page.keyboard.press("+")
    assert scale(page) == 305
    before = page.locator(".frame").bounding_box()
    page.keyboard.press("ArrowRight")
    after = page.locator(".frame").bounding_box()
    assert before is not None
    assert after is not None
    assert after["x"] < before["x"]
    assert page.locator(SEEN).get_attribute("data-frame") == first
    page.keyboard.press("-")
    assert scale(page) == 244
    page.keyboard.press("0")
    assert scale(page) == 100
    wait_until_drawn(page)
    page.keyboard.press("ArrowRight")  # the shortcut of the button Next
    expect(page.locator(SEEN)).not_to_have_attribute("data-frame", first)


def test_the_wheel_zooms_at_the_pointer(page: Page, address: str) -> None:
    opened(page, address)
    box = page.locator("img.picture").bounding_box()
    assert box is not None
    x, y = box["x"] + 0.25 * box["width"], box["y"] + 0.75 * box["height"]
    page.mouse.move(x, y)
    page.mouse.wheel(0, -400)
    expect(page.get_by_role("button", name="Whole picture")).not_to_have_text("100 %")
    zoomed = page.locator("img.picture").bounding_box()
    assert zoomed is not None
    assert (x - zoomed["x"]) / zoomed["width"] == pytest.approx(0.25, abs=0.01)
    assert (y - zoomed["y"]) / zoomed["height"] == pytest.approx(0.75, abs=0.01)


def test_two_fingers_zoom(page: Page, address: str) -> None:
    opened(page, address)
    page.get_by_role("application").evaluate(
        """stage => {
          const box = stage.getBoundingClientRect(), x = box.left + box.width / 2, y = box.top + box.height / 2;
          const finger = (kind, pointerId, offset) => stage.dispatchEvent(new PointerEvent(kind,
            { pointerId, pointerType: "touch", clientX: x + offset, clientY: y, bubbles: true }));
          stage.setPointerCapture = () => {};
          finger("pointerdown", 11, -50); finger("pointerdown", 12, 50);
          finger("pointermove", 12, 150); finger("pointerup", 11, -50); finger("pointerup", 12, 150);
        }"""
    )
    assert scale(page) == 200


def test_holding_c_shows_the_nearest_good_part_at_the_same_crop_and_the_wipe_a_part_of_it(
    page: Page, address: str
) -> None:
    opened(page, address)
    page.get_by_role("application").focus()
    page.keyboard.press("+")
    normal = page.locator("img.normal")
    expect(normal).to_be_hidden()
    page.keyboard.down("c")
    expect(normal).to_be_visible()
    assert normal.bounding_box() == page.locator("img.picture").bounding_box()
    expect(page.locator("img.heat:visible")).to_have_count(0)
    page.keyboard.up("c")
    expect(normal).to_be_hidden()
    page.get_by_role("slider", name="Wipe to the nearest good part").fill("40")
    expect(normal).to_have_css("clip-path", "inset(0px 60% 0px 0px)")
    expect(normal).to_be_visible()


def test_the_map_is_a_toggle_that_stays_for_the_next_frame(page: Page, address: str) -> None:
    opened(page, address)
    first = page.locator(SEEN).get_attribute("data-frame") or ""
    toggle = page.get_by_role("button", name="Anomaly map")
    expect(page.locator("img.heat:visible")).to_have_count(1)
    toggle.click()
    expect(toggle).to_have_attribute("aria-pressed", "false")
    expect(page.locator("img.heat:visible")).to_have_count(0)
    page.keyboard.press("n")
    expect(page.locator(SEEN)).not_to_have_attribute("data-frame", first)
    expect(page.locator("img.heat:visible")).to_have_count(0)


def test_verdict_and_picture_are_never_seen_of_two_frames(page: Page, address: str) -> None:
    opened(page, address)
    page.evaluate(SAMPLE_EACH_FRAME)
    for _ in range(3):
        shown = page.locator(SEEN).get_attribute("data-frame") or ""
        page.keyboard.press("n")
        expect(page.locator(SEEN)).not_to_have_attribute("data-frame", shown)
        wait_until_drawn(page)
    expect(page.locator(".st-key-card-review .andon-verdict")).to_be_visible()
    assert page.evaluate("window.seen.size") == 4
    assert page.evaluate("window.torn") == []


def test_the_link_opens_the_frame_and_the_download_is_a_picture(page: Page, address: str, tmp_path: Path) -> None:
    opened(page, address)
    shown = page.locator(SEEN).get_attribute("data-frame") or ""
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download", exact=True).click()
    saved.value.save_as(tmp_path / "frame.png")
    assert (tmp_path / "frame.png").read_bytes().startswith(b"\x89PNG")
    assert saved.value.suggested_filename == f"s1-{shown}.png"
    page.get_by_role("button", name="Copy link").click()
    link = page.get_by_label("Link to this frame").input_value()
    page.goto(link)
    expect(page.locator(SEEN)).to_have_attribute("data-frame", re.compile(shown))


def test_a_frame_of_a_former_version_has_no_outline(page: Page, address: str, s1: Station) -> None:
    last = UUID(int=s1.id << 64 | FRAMES - 1)
    page.goto(f"{address}/review?mode=Find a frame&frame={last}")
    expect(page.locator(SEEN)).to_have_attribute("data-frame", str(last))
    expect(page.locator(".outlines polygon")).to_have_count(0)
    expect(page.get_by_role("button", name="Outline")).to_be_hidden()
    expect(page.locator("img.heat:visible")).to_have_count(1)


def test_the_wall_outlines_the_frame_that_was_flagged_last_and_the_grid_every_flagged_frame(
    page: Page, address: str, line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime
) -> None:
    page.goto(address)
    expect(page.locator(".st-key-picture-1 img.andon-outlines")).to_have_count(1)  # the newest frame is flagged
    line.verdicts(verdict(line, s1, normal_set, 70, now, 0.2))
    flagged = page.locator(".st-key-flagged-1")
    expect(flagged).to_contain_text("1 min ago")

    def has_both_in_one_box(_: float) -> None:
        outline, picture = (flagged.locator(name).bounding_box() for name in ("img.andon-outlines", "img:not([class])"))
        assert outline == picture

    act_until(lambda: page.wait_for_timeout(500), has_both_in_one_box)  # once both are loaded
    page.goto(f"{address}/review?mode=Grid")
    expect(page.locator(".st-key-review-grid img.andon-outlines")).to_have_count(FRAMES - 1)
