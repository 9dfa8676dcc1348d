"""Review as an inspector uses it: a real Chromium, keys, a reload, a second tab and the way back, and nothing lost."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from storage.line import normal_candidates, normal_sets
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from storage.review import labels, review_queue
from storage.review.review_queue import QueueFilter
from tests.dashboard.browser_actions import EXPECT_TIMEOUT_MS, IS_RUNNING, TEST_TIMEOUT_S, wait_until_drawn
from tests.dashboard.review.review_in_browser import FRAMES, current_labels, entries, shows
from tests.dashboard.seeding import SeededStorage, verdict

pytestmark = [pytest.mark.browser, pytest.mark.timeout(TEST_TIMEOUT_S)]


@pytest.fixture(autouse=True)
def expect_timeout() -> None:
    expect.set_options(timeout=EXPECT_TIMEOUT_MS)


def test_twenty_reviews_by_keyboard_over_reload_second_tab_and_back_lose_and_double_none(
    page: Page, address: str, line: SeededStorage, queue: list[float]
) -> None:
    page.goto(f"{address}/review")
    for number in range(6):
        shows(page, queue[number])
        page.keyboard.press("dfu"[number % 3])
    shows(page, queue[6])
    assert [label for _, label, _ in current_labels(line)] == ["defect", "false_alarm", "unsure"] * 2

    page.keyboard.press("d")
    page.wait_for_function(IS_RUNNING)  # the press was sent; the browser reloads before it receives the answer
    page.reload()
    shows(page, queue[7])
    page.keyboard.press("d")
    page.keyboard.press("d")  # two presses make one label, of the frame that was shown
    shows(page, queue[8])

    tab = page.context.new_page()
    tab.goto(f"{address}/review")
    shows(tab, queue[8])  # the same person, so the same frame
    tab.keyboard.press("f")
    shows(tab, queue[9])
    page.bring_to_front()
    page.keyboard.press("f")  # the first tab still shows the frame that has its label
    shows(page, queue[9])
    tab.close()

    page.keyboard.press("d")
    shows(page, queue[10])
    page.get_by_role("link", name="Live wall").click()
    expect(page.locator(".st-key-tile-1")).to_be_visible()
    page.go_back()
    shows(page, queue[10])
    for number in range(10, 20):
        shows(page, queue[number])
        page.keyboard.press("d")
    shows(page, queue[20])

    given = current_labels(line)
    assert [score for score, _, _ in given] == pytest.approx(queue[:20])
    assert [label for _, label, _ in given[:6]] == ["defect", "false_alarm", "unsure"] * 2
    assert [label for _, label, _ in given[6:]] == ["defect"] * 2 + ["false_alarm"] + ["defect"] * 11
    assert entries(line) == 20
    with line.database.read() as session:
        assert review_queue.count(session, QueueFilter()) == FRAMES - 20


def test_types_undo_next_and_the_normal_set_by_keyboard(
    page: Page, address: str, line: SeededStorage, queue: list[float]
) -> None:
    page.goto(f"{address}/review")
    shows(page, queue[0])
    for key, name in (("2", "dent"), ("3", "crack")):
        kind = page.get_by_role("button", name=re.compile(name))
        expect(kind).to_be_enabled()  # types are drawn last
        page.keyboard.press(key)
        expect(kind).to_have_attribute("data-testid", "stBaseButton-primary")
        wait_until_drawn(page)
    page.keyboard.press("d")
    shows(page, queue[1])
    assert current_labels(line) == [(0.5, "defect", ("dent", "crack"))]

    page.keyboard.press("z")
    shows(page, queue[0])
    assert current_labels(line) == []

    page.keyboard.press("n")
    shows(page, queue[1])
    page.keyboard.press("ArrowRight")
    shows(page, queue[2])
    page.keyboard.press("g")
    shows(page, queue[3])
    assert current_labels(line) == [(0.52, "false_alarm", ())]
    with line.database.read() as session:
        assert [pick.proposed_by for pick in normal_candidates.list_all(session, 1)] == ["single user"]
        assert normal_sets.list_all(session, 1)[0].version == 1
    slider = page.get_by_role("slider", name="Anomaly map opacity")
    slider.press("ArrowRight")  # moves the slider, and skips no frame
    expect(page.locator("img.heat")).to_have_css("opacity", "0.61")
    shows(page, queue[3])


def test_keys_pressed_at_once_are_all_handled_and_only_for_the_frame_that_was_shown(
    page: Page, address: str, line: SeededStorage, queue: list[float]
) -> None:
    page.goto(f"{address}/review")
    for number in range(3):
        shows(page, queue[number])
        wait_until_drawn(page)
        for key in "123dfu":  # the last two arrive when the frame has its label
            page.keyboard.press(key)
        shows(page, queue[number + 1])
    wait_until_drawn(page)
    assert [label for _, label, _ in current_labels(line)] == ["defect"] * 3
    assert [len(types) for _, _, types in current_labels(line)] == [3, 3, 3]
    assert entries(line) == 3


def test_many_frames_get_one_label_and_one_undo_undoes_all(
    page: Page, address: str, line: SeededStorage, queue: list[float]
) -> None:
    page.goto(f"{address}/review?mode=Grid")
    boxes = page.locator('[class*="st-key-choice-"]')
    expect(boxes).to_have_count(12)
    boxes.nth(0).locator("label").click()
    expect(page.locator(".st-key-labels").filter(visible=True)).to_contain_text("1 of 12 selected")
    boxes.nth(2).locator("label").click()
    expect(page.locator(".st-key-labels").filter(visible=True)).to_contain_text("2 of 12 selected")
    wait_until_drawn(page)
    page.keyboard.press("f")
    expect(page.locator(".st-key-labels").filter(visible=True)).to_contain_text("0 of 12 selected")
    wait_until_drawn(page)
    assert [(score, label) for score, label, _ in current_labels(line)] == [(0.5, "false_alarm"), (0.52, "false_alarm")]
    page.keyboard.press("z")
    expect(page.locator(".andon-today")).to_contain_text("0 labelled by you")
    assert current_labels(line) == []


def test_an_escape_is_found_by_its_part_and_the_page_says_why_it_was_missed(
    page: Page, address: str, line: SeededStorage, s1: Station, normal_set: NormalSet
) -> None:
    at = datetime.now(UTC) - timedelta(seconds=30)
    line.verdicts(verdict(line, s1, normal_set, 500, at, 0.2, part_id="ESC-7"))
    page.goto(f"{address}/station?station=s1&show=Passed")
    page.get_by_role("link", name="Missed defect?").click()
    expect(page.locator(".st-key-card-why")).to_contain_text("It scored 0.200 and the threshold was 0.410")
    page.goto(f"{address}/station?station=s1")
    page.get_by_role("link", name="Find the frame of a defective part").click()
    expect(page.locator(".st-key-card-why")).to_have_count(0)
    page.get_by_placeholder("any").fill("ESC-7")
    page.get_by_placeholder("any").press("Enter")
    page.locator(".st-key-thumb-0").click()
    why = page.locator(".st-key-card-why")
    expect(why).to_contain_text("It scored 0.200 and the threshold was 0.410")
    expect(why.locator("img")).to_have_count(6)
    shows(page, 0.2)  # the labels are drawn last
    page.keyboard.press("d")
    expect(page.locator(".st-key-card-review .andon-label").filter(visible=True)).to_contain_text("Defect")
    with line.database.read() as session:
        (counts,) = labels.counts(session)
    assert counts.passed_defect == 1
