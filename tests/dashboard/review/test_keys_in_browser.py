"""Keys and frames in a real Chromium: no press is lost or meant for another frame, and frames appear as a whole."""

import json

import pytest
from playwright.sync_api import Browser, Page, expect

from storage.review import review_queue
from storage.review.review_queue import QueueFilter
from tests.dashboard.browser_actions import EXPECT_TIMEOUT_MS, TEST_TIMEOUT_S
from tests.dashboard.review.review_in_browser import current_labels, entries, shows
from tests.dashboard.seeding import SeededStorage

pytestmark = [pytest.mark.browser, pytest.mark.timeout(TEST_TIMEOUT_S)]
PRESSES = 12
SEEN = """
const isSeen = (element) => element.checkVisibility({ visibilityProperty: true });
const seen = (selector) => [...document.querySelectorAll(".st-key-card-review " + selector)].filter(isSeen);
const shown = () => ({
  score: seen(".andon-against span:first-child b").map((each) => each.textContent).slice(0, 1),
  picture: seen(".st-key-inspection-picture *").flatMap(
    (each) => [...(each.shadowRoot?.querySelectorAll("img.picture") ?? [])].map((picture) => picture.alt)
  ),
  label: seen('[class*="st-key-label-defect-"]').map((each) => /label-defect-([0-9a-f-]{36})/.exec(each.className)[1]),
  type: seen('[class*="st-key-type-1-"]').map((each) => /type-1-([0-9a-f-]{36})/.exec(each.className)[1]),
});
"""
SCORE_IS = f"(score) => {{ {SEEN} return shown().score[0] === score; }}"
RECORD = f"""() => {{ {SEEN}
  window.recorded = [];
  const record = () => {{
    const text = JSON.stringify(shown());
    if (window.recorded.at(-1) !== text) window.recorded.push(text);
    requestAnimationFrame(record);
  }};
  record();
}}"""


@pytest.fixture(autouse=True)
def expect_timeout() -> None:
    expect.set_options(timeout=EXPECT_TIMEOUT_MS)


def test_a_key_pressed_the_moment_a_frame_appears_labels_that_frame(
    page: Page, address: str, line: SeededStorage, queue: list[float]
) -> None:
    page.goto(f"{address}/review")
    expect(page.locator(".andon-shortcuts")).to_have_count(1)  # the page has loaded
    for number in range(PRESSES):
        page.wait_for_function(SCORE_IS, arg=f"{queue[number]:.3f}")
        page.wait_for_timeout(17 * number)  # 0 to 0.19 s after it is seen
        page.keyboard.press("dfu"[number % 3])
    shows(page, queue[PRESSES])
    given = current_labels(line)
    assert [score for score, _, _ in given] == pytest.approx(queue[:PRESSES])
    assert [label for _, label, _ in given] == ["defect", "false_alarm", "unsure"] * (PRESSES // 3)
    assert entries(line) == PRESSES


def test_score_picture_buttons_and_types_of_a_frame_appear_at_once(
    page: Page, address: str, queue: list[float]
) -> None:
    page.goto(f"{address}/review")
    shows(page, queue[0])
    page.evaluate(RECORD)
    for number in range(4):
        page.keyboard.press("f")
        shows(page, queue[number + 1])
    recorded = [each for text in page.evaluate("window.recorded") if (each := json.loads(text))["score"]]
    assert [each["score"] for each in recorded] == [[f"{score:.3f}"] for score in queue[:5]]
    for each in recorded:
        (frame,) = each["label"]
        assert each["type"] == [frame]
        assert each["picture"] == [f"Frame {frame}"]


def test_two_browsers_without_users_share_the_queue_and_a_reload_keeps_its_frame(
    page: Page, chromium: Browser, address: str, line: SeededStorage, queue: list[float]
) -> None:
    page.goto(f"{address}/review")
    shows(page, queue[0])
    other_browser = chromium.new_context()
    other = other_browser.new_page()
    other.goto(f"{address}/review")
    shows(other, queue[1])
    for browser, frame in ((page, 0), (other, 1)):
        browser.reload()
        shows(browser, queue[frame])
    other.keyboard.press("d")
    shows(other, queue[2])
    page.keyboard.press("f")
    shows(page, queue[3])
    other_browser.close()
    assert [label for _, label, _ in current_labels(line)] == ["false_alarm", "defect"]
    with line.database.read() as session:
        assert review_queue.count(session, QueueFilter()) == len(queue) - 2
