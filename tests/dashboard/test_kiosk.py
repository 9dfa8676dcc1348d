"""The wall on a screen for all: its order, its turns, and that it fills every screen without a scroll bar."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from dashboard.station_state import StationState, Tone
from dashboard.wall import kiosk
from dashboard.wall.order import natural, trouble_first
from dashboard.wall.tile import TileData
from storage.line.stations import Station, StationSettings
from storage.rollups.station_summaries import StationSummary
from testing.chromium import running_dashboard
from tests.dashboard.browser_actions import EXPECT_TIMEOUT_MS, TEST_TIMEOUT_S
from tests.dashboard.seeding import SeededStorage

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
READABLE_PX = 24  # of 1080: 14 mm on a screen of 24 inches
TILES = """() => ({
  screen: [innerWidth, innerHeight],
  page: [document.documentElement.scrollWidth, document.documentElement.scrollHeight],
  tiles: [...document.querySelectorAll(".andon-kiosk-tile")].map((tile) => {
    const { left, top, right, bottom } = tile.getBoundingClientRect();
    const name = tile.querySelector("b");
    return { left, top, right, bottom, name: name.textContent, px: parseFloat(getComputedStyle(name).fontSize),
             wide: name.getBoundingClientRect().right <= right, tall: name.getBoundingClientRect().bottom <= bottom };
  }),
})"""


def tile(name: str, tone: Tone = "good") -> TileData:
    station = Station(1, name, StationSettings(), NOON)
    return TileData(station, StationSummary(1, None, 0, 0, 0, 0, ()), StationState("running", tone, "x", "x"), (), None)


def names(tiles: list[TileData]) -> list[str]:
    return [each.station.name for each in tiles]


def test_stations_are_in_the_order_in_which_people_count() -> None:
    assert sorted(["s10", "s2", "s1", "Press-3", "press-20", "7"], key=natural) == [
        "7", "Press-3", "press-20", "s1", "s2", "s10",
    ]  # fmt: skip


def test_trouble_comes_first_and_equals_by_name() -> None:
    tiles = [tile("s10"), tile("s2"), tile("s9", "warn"), tile("s11", "bad"), tile("s3", "bad"), tile("s4", "idle")]
    assert names(trouble_first(tiles)) == ["s3", "s11", "s9", "s4", "s2", "s10"]


def test_more_stations_than_fit_take_turns_and_each_is_shown() -> None:
    tiles = [tile(f"s{number}") for number in range(kiosk.MAX_TILES + 2)]
    turn = timedelta(seconds=kiosk.PAGE_SHOWN_FOR_S)
    (first, *of_first), (second, *of_second) = (kiosk.page_of(tiles, NOON + number * turn) for number in range(2))
    assert sorted(names(first) + names(second), key=natural) == names(tiles)
    assert abs(len(first) - len(second)) <= 1
    assert {of_first[0], of_second[0]} == {1, 2}
    assert kiosk.page_of(tiles[:48], NOON)[1:] == (1, 1)


@pytest.mark.parametrize("tiles", range(1, kiosk.MAX_TILES + 1))
def test_each_layout_holds_its_tiles_with_less_than_a_row_to_spare(tiles: int) -> None:
    found = kiosk.layout(tiles)
    for columns, rows in ((found.columns, found.rows), (found.tall_columns, found.tall_rows)):
        assert columns * rows >= tiles > columns * (rows - 1)


@pytest.fixture
def address(line: SeededStorage) -> Iterator[str]:
    with running_dashboard(line.database_url, line.images_url) as at:
        yield at


@pytest.mark.browser
@pytest.mark.timeout(TEST_TIMEOUT_S)
def test_one_to_forty_eight_stations_fill_the_screen_without_a_scroll_bar_or_a_menu(
    page: Page, address: str, line: SeededStorage, now: datetime
) -> None:
    expect.set_options(timeout=EXPECT_TIMEOUT_MS)
    added = 0
    for stations in (1, 7, 48):
        while added < stations:
            added += 1
            line.station(f"press-{added}", now)
        for size in ((1920, 1080), (900, 900), (390, 844)):
            page.set_viewport_size({"width": size[0], "height": size[1]})
            page.goto(f"{address}/?kiosk")
            expect(page.locator(".andon-kiosk-tile")).to_have_count(stations)
            expect(page.locator(".andon-kiosk")).to_have_css("position", "fixed")  # the style sheet is there
            seen = page.evaluate(TILES)
            assert tuple(seen["screen"]) == size
            assert seen["page"] == seen["screen"]  # nothing to scroll
            for one in seen["tiles"]:
                assert 0 <= one["left"] < one["right"] <= size[0]
                assert 0 <= one["top"] < one["bottom"] <= size[1]
                assert one["wide"]
                assert one["tall"]
                assert size != (1920, 1080) or one["px"] >= READABLE_PX
            lowest = max(one["bottom"] for one in seen["tiles"])
            assert size[1] - lowest <= 0.02 * size[1] + 2  # the tiles reach the bottom
            expect(page.get_by_role("link", name="Settings")).to_have_count(0)  # no menu
