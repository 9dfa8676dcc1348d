"""A serial number that changes flags parts, until somebody draws a mask over it; the whole line takes part."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from dashboard.app.settings import DashboardSettings
from imaging.rgb import RgbImage
from storage.areas import masks
from storage.line import normal_sets, stations
from storage.line.normal_sets import NormalImage
from testing.chromium import running_dashboard
from testing.line import START, Line, encoded, part
from tests.dashboard.browser_actions import EXPECT_TIMEOUT_MS, TEST_TIMEOUT_S, wait_until_drawn

pytestmark = [pytest.mark.browser, pytest.mark.timeout(TEST_TIMEOUT_S), pytest.mark.usefixtures("one_thread")]
SIZE = (96, 128)


def part_with_serial(number: int, serial: int, *, defect: bool = False) -> RgbImage:
    """A part with a serial number in the upper left."""
    image = part(number, defect=defect, size=SIZE).copy()
    image[6:26, 6:54] = np.random.default_rng(serial).integers(0, 2, (20, 48, 1)) * 255
    return image


@pytest.fixture(autouse=True)
def expect_timeout() -> None:
    expect.set_options(timeout=EXPECT_TIMEOUT_MS)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    """A line whose normals all have the same serial number, and a first frame with another one, which was flagged."""
    line = Line(tmp_path)
    line.add_station("s1")
    images = [NormalImage(line.images.put(encoded(part_with_serial(n, 1))), f"{n}.png") for n in range(6)]
    with line.database.begin() as session:
        station = stations.get(session, "s1")
        made = normal_sets.add(session, station.id, images, "", START)
        normal_sets.activate(session, station.id, made.version, START)
    line.publish("s1", [encoded(part_with_serial(20, 2))])
    line.drain()
    assert [verdict.decision for verdict in line.verdicts()] == ["flag"]
    yield line
    line.close()


@pytest.fixture
def editor(line: Line, page: Page) -> Iterator[Page]:
    """The settings of the station, with the editor of its mask."""
    with running_dashboard(line.database_url, str(line.folder / "images"), DashboardSettings()) as address:
        page.goto(f"{address}/settings?part=Stations&station=s1")
        expect(page.get_by_role("application")).to_be_visible()
        expect(page.get_by_role("img", name="Picture of s1")).to_be_visible()
        wait_until_drawn(page)
        yield page


def drag(page: Page, left: float, top: float, right: float, bottom: float) -> None:
    """Drag a box over the picture, in fractions of it."""
    stage = page.get_by_role("application")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + left * box["width"], box["y"] + top * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + right * box["width"], box["y"] + bottom * box["height"], steps=5)
    page.mouse.up()


def test_a_serial_number_that_changes_passes_once_it_is_masked_and_a_defect_is_still_flagged(
    editor: Page, line: Line
) -> None:
    drag(editor, 0.01, 0.02, 0.46, 0.31)
    editor.get_by_role("button", name="Save mask").click()
    expect(editor.locator(".st-key-card-mask")).to_contain_text("version 1")
    line.publish("s1", [encoded(part_with_serial(21, 3)), encoded(part_with_serial(22, 4, defect=True))])
    line.drain()
    decided = [(verdict.decision, verdict.mask_version) for verdict in line.verdicts()]
    assert decided == [("flag", 0), ("pass", 1), ("flag", 1)]
    address, defect = editor.url.partition("/settings")[0], line.verdicts()[-1]
    editor.goto(f"{address}/review?mode=Find a frame&frame={defect.frame_id}")
    expect(editor.locator(".outlines polygon.ignored")).to_have_count(1)
    expect(editor.locator(".inspection .where")).to_contain_text("of the picture")


def test_a_mask_is_drawn_by_keyboard(editor: Page, line: Line) -> None:
    editor.get_by_role("button", name="Region of interest").click()
    editor.get_by_role("application").focus()
    for key in ("ArrowLeft", "ArrowUp", "ArrowRight"):
        for _ in range(4):
            editor.keyboard.press(f"Shift+{key}")
        editor.keyboard.press("Space")
    editor.keyboard.press("Space")  # one corner too many
    editor.keyboard.press("Backspace")
    editor.keyboard.press("Enter")
    expect(editor.locator(".editor path.outside")).to_have_count(1)
    editor.get_by_role("button", name="Save mask").click()
    expect(editor.locator(".st-key-card-mask")).to_contain_text("version 1")
    with line.database.read() as session:
        stored = masks.mask_of(session, stations.get(session, "s1").id, 1)
    assert stored.region_of_interest == (((0.3, 0.5), (0.3, 0.3), (0.5, 0.3)),)
    assert stored.ignored == ()


def test_a_mask_that_covers_everything_is_refused_and_stays_to_be_mended(editor: Page, line: Line) -> None:
    drag(editor, 0.002, 0.5, 1.1, -0.1)  # beyond the picture an area ends at its edge
    drag(editor, 0.002, 0.5, 1.1, 1.1)
    expect(editor.locator(".editor polygon.area")).to_have_count(2)
    editor.get_by_role("button", name="Save mask").click()
    expect(editor.get_by_role("alert")).to_be_visible()
    expect(editor.locator(".editor polygon.area")).to_have_count(2)
    with line.database.read() as session:
        assert stations.get(session, "s1").mask_version == 0
