"""The dashboard as a user sees it: the real process, a real Chromium."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from dashboard.app.settings import DashboardSettings
from storage.blobs.anomaly_maps import encode_map
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from testing.chromium import running_dashboard
from tests.dashboard.browser_actions import EXPECT_TIMEOUT_MS, TEST_TIMEOUT_S, act_until, wait_until_drawn
from tests.dashboard.seeding import Scene, SeededStorage, jpeg, verdict

pytestmark = [pytest.mark.browser, pytest.mark.timeout(TEST_TIMEOUT_S)]
NUMBERS = itertools.count(1)


@pytest.fixture(autouse=True)
def expect_timeout() -> None:
    expect.set_options(timeout=EXPECT_TIMEOUT_MS)


@dataclass(frozen=True)
class Shown:
    """A line with the dashboard that shows it."""

    line: SeededStorage
    address: str


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """One dashboard for all tests here that add a station of their own."""
    line = SeededStorage.new(tmp_path_factory.mktemp("line"))
    line.worker("scorer-1", datetime.now(UTC) + timedelta(hours=1))
    with running_dashboard(line.database_url, line.images_url, DashboardSettings()) as address:
        yield Shown(line, address)


@pytest.fixture
def line(shown: Shown) -> SeededStorage:
    return shown.line


@pytest.fixture
def address(shown: Shown) -> str:
    return shown.address


@pytest.fixture
def s1(line: SeededStorage, now: datetime) -> Station:
    """A station that no other test uses."""
    return line.station(f"s-{next(NUMBERS)}", now - timedelta(days=2), object_name="coin", stale_after_s=8)


STICKING_OUT = """() => {
    const main = document.querySelector(".stMain"), edge = main.getBoundingClientRect().left + main.clientWidth;
    if (main.scrollWidth === main.clientWidth) return [];
    const wide = [...main.querySelectorAll("*")].filter(one => one.getBoundingClientRect().right > edge + 0.5);
    return [main.scrollWidth - main.clientWidth, ...wide.map(one => `${one.tagName} ${one.className}`)];
}"""


def leaf(page: Page, key: str, score: Locator) -> float:
    """Press a key until another frame is shown; returns its score."""
    before = str(score.text_content())
    act_until(
        lambda: page.keyboard.press(key),
        lambda timeout_ms: expect(score).not_to_have_text(before, timeout=timeout_ms),
    )
    return score_of(score)


def score_of(score: Locator) -> float:
    found = re.search(r"score (\d\.\d+)", str(score.text_content()))
    assert found is not None
    return float(found[1])


def flagged(line: SeededStorage, s1: Station, normal_set: NormalSet, coins: Scene, now: datetime, number: int) -> None:
    """Add `number` flagged frames a minute apart, each with its own image and a map whose left half is hot."""
    chance = np.random.default_rng(3)
    hot = np.zeros((12, 16), dtype=np.float32)
    hot[:, :8] = 1
    heat = line.images.put(encode_map(hot))
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
                map_reference=heat,
                truth="scratch",
            )
            for n in range(number)
        )
    )


def test_the_wall_shows_a_verdict_that_arrives_without_being_reloaded(
    page: Page, address: str, line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime
) -> None:
    line.verdicts(verdict(line, s1, normal_set, 1, now, 0.2))
    page.goto(address)
    tile = page.locator(f".st-key-tile-{s1.id}")
    expect(tile).to_contain_text(s1.name)
    expect(tile).to_contain_text("Pass 0.200")
    page.evaluate("window.notReloaded = true")

    line.verdicts(verdict(line, s1, normal_set, 2, now + timedelta(seconds=1), 0.7))

    expect(tile).to_contain_text("Flagged 0.700")
    expect(tile).to_contain_text("50 %")
    assert page.evaluate("window.notReloaded")


def test_a_station_that_falls_silent_turns_red_and_says_so(
    page: Page, address: str, line: SeededStorage, s1: Station, normal_set: NormalSet
) -> None:
    page.goto(address)
    tile = page.locator(f".st-key-tile-{s1.id}")
    head = tile.locator(".andon-head")
    expect(head).to_have_attribute("data-state", "no_frames")

    line.verdicts(verdict(line, s1, normal_set, 1, datetime.now(UTC), 0.2))

    expect(head).to_have_attribute("data-state", "running")
    expect(head).to_have_attribute("data-state", "stale")
    expect(head).to_contain_text("Silent for")
    expect(tile).to_have_css("border-top-color", "rgb(179, 32, 44)")


def test_a_click_anywhere_on_a_tile_opens_its_station(
    page: Page, address: str, line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime
) -> None:
    line.verdicts(verdict(line, s1, normal_set, 1, now, 0.2))
    page.goto(address)
    tile = page.locator(f".st-key-tile-{s1.id}")
    expect(tile).to_contain_text("Pass")
    wait_until_drawn(page)

    act_until(
        lambda: tile.click(position={"x": 120, "y": 120}, timeout=4_000),
        lambda timeout_ms: expect(page.locator(".andon-title h1")).to_have_text(s1.name, timeout=timeout_ms),
    )
    expect(page).to_have_url(re.compile(rf"/station\?station={s1.name}"))


def test_station_and_time_range_stay_in_the_address_bar_over_a_reload(
    page: Page, address: str, line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime
) -> None:
    line.verdicts(verdict(line, s1, normal_set, 1, now - timedelta(hours=5), 0.2))
    page.goto(f"{address}/station?station={s1.name}")
    expect(page.locator(".andon-metrics")).to_contain_text("in 1 h")
    wait_until_drawn(page)

    act_until(
        page.get_by_role("radio", name="24 h").click,
        lambda timeout_ms: expect(page.locator(".andon-metrics")).to_contain_text("in 24 h", timeout=timeout_ms),
    )
    expect(page).to_have_url(re.compile(r"range=24"))
    page.reload()
    expect(page.locator(".andon-title h1")).to_have_text(s1.name)
    expect(page.locator(".andon-metrics")).to_contain_text("in 24 h")
    expect(page.locator(".andon-metric").first).to_contain_text("1")


def test_the_anomaly_map_fades_with_the_slider_and_stays_so_for_the_next_frame(
    page: Page, address: str, line: SeededStorage, s1: Station, normal_set: NormalSet, coins: Scene, now: datetime
) -> None:
    flagged(line, s1, normal_set, coins, now, 3)
    page.goto(f"{address}/station?station={s1.name}")
    slider = page.get_by_role("slider", name="Anomaly map opacity")
    heat = page.locator("img.heat")
    expect(heat).to_have_css("opacity", "0.6")
    wait_until_drawn(page)

    slider.fill("100")
    expect(heat).to_have_css("opacity", "1")
    slider.fill("0")
    expect(heat).to_have_css("opacity", "0")

    first = page.locator(".andon-verdict").get_attribute("data-frame")
    act_until(
        page.get_by_role("button", name="Older").click,
        lambda timeout_ms: expect(page.locator(".andon-verdict")).not_to_have_attribute(
            "data-frame", first or "", timeout=timeout_ms
        ),
    )
    expect(heat).to_have_css("opacity", "0")


def test_the_keyboard_steps_through_frames_while_new_ones_arrive(
    page: Page, address: str, line: SeededStorage, s1: Station, normal_set: NormalSet, coins: Scene, now: datetime
) -> None:
    flagged(line, s1, normal_set, coins, now, 14)
    page.goto(f"{address}/station?station={s1.name}")
    score = page.locator(".andon-against")
    expect(score).to_contain_text("0.500")
    wait_until_drawn(page)

    assert leaf(page, "j", score) == 0.51
    line.verdicts(verdict(line, s1, normal_set, 99, datetime.now(UTC), 0.9))
    expect(page.get_by_role("button", name="Back to live, 1 newer frame")).to_be_visible()
    assert score_of(score) == 0.51
    seen = [0.51]
    while seen[-1] < 0.62:  # the thirteenth frame is on the second page
        seen.append(leaf(page, "j", score))
    assert seen == sorted(seen)
    newer = leaf(page, "k", score)
    assert newer < seen[-1]
    page.reload()
    expect(score).to_contain_text(f"{newer:.3f}")
    wait_until_drawn(page)
    act_until(
        lambda: page.get_by_role("button", name="Back to live").click(timeout=4_000),
        lambda timeout_ms: expect(score).to_contain_text("0.900", timeout=timeout_ms),
    )


def test_a_thumbnail_selects_its_frame_with_its_provenance(
    page: Page, address: str, line: SeededStorage, s1: Station, normal_set: NormalSet, coins: Scene, now: datetime
) -> None:
    flagged(line, s1, normal_set, coins, now, 5)
    page.goto(f"{address}/station?station={s1.name}")
    expect(page.locator(".andon-against")).to_contain_text("0.500")
    wait_until_drawn(page)

    facts = page.locator(".andon-description-list")
    act_until(
        page.locator(".st-key-thumb-3").click,
        lambda timeout_ms: expect(facts).to_contain_text(f"andon.frames / {s1.id % 12} / 3", timeout=timeout_ms),
    )
    for told in (
        "0.530",
        "0.410",
        "scratch",
        "version 1, 3 images",
        "nearest-patch-3f9ac1d07b52",
        "scorer-1",
        "240 ms",
    ):
        expect(facts).to_contain_text(told)
    expect(page.locator(".st-key-normals img")).to_have_count(3)


def test_what_a_producer_wrote_is_shown_as_text_and_never_run(
    page: Page, address: str, line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime
) -> None:
    hostile = "<img src=x onerror='window.harmed=1'>"
    line.verdicts(verdict(line, s1, normal_set, 1, now, 0.9, part_id=hostile, truth=hostile, worker=hostile))
    page.goto(f"{address}/station?station={s1.name}")

    expect(page.locator(".andon-description-list")).to_contain_text(hostile)
    expect(page.locator(".andon-verdict")).to_contain_text(hostile)
    assert page.evaluate("window.harmed") is None


def test_a_station_without_normal_set_says_what_to_type_next(
    page: Page, address: str, line: SeededStorage, s1: Station
) -> None:
    page.goto(address)
    tile = page.locator(f".st-key-tile-{s1.id}")
    expect(tile).to_contain_text("No normal set")
    expect(tile.locator("code")).to_have_text(f"andon normals add {s1.name} FOLDER --activate")


def test_from_no_schema_to_no_stations_to_a_database_that_goes_away_and_comes_back(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "line"
    folder.mkdir()
    url = f"sqlite:///{folder / 'andon.db'}"
    with running_dashboard(url, str(folder / "images")) as address:
        page.goto(f"{address}/dead-letters")  # the very first visit is a link to a page, as from a bookmark
        alert, tile = page.get_by_role("alert"), page.locator(".st-key-tile-1")
        expect(alert).to_contain_text("andon db upgrade")
        page.get_by_role("link", name="Live wall").click()
        expect(alert).to_contain_text("andon db upgrade")

        line = SeededStorage.new(folder)
        expect(page.get_by_text("No stations yet")).to_be_visible()
        expect(page.locator("code")).to_contain_text("andon station add s1")
        line.station("s1", datetime.now(UTC))
        expect(tile).to_be_visible()
        line.database.close()

        folder.rename(tmp_path / "unplugged")
        folder.write_text("a file where the database's folder was")
        expect(alert).to_contain_text("continues by itself as soon as the database is back")
        expect(tile).to_have_count(0)
        expect(page.get_by_test_id("stException")).to_have_count(0)

        folder.unlink()
        (tmp_path / "unplugged").rename(folder)
        expect(tile).to_be_visible()


@pytest.mark.parametrize("width", [900, 1440])
@pytest.mark.parametrize("where", ["/", "/station?station={}", "/normals?station={}", "/dead-letters"])
def test_no_page_scrolls_sideways(
    page: Page,
    address: str,
    line: SeededStorage,
    s1: Station,
    normal_set: NormalSet,
    now: datetime,
    width: int,
    where: str,
) -> None:
    line.verdicts(verdict(line, s1, normal_set, 1, now, 0.9))
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(address + where.format(s1.name))
    expect(page.locator(".andon-metrics, .andon-h, .stAlert").first).to_be_visible()
    wait_until_drawn(page)
    try:
        page.wait_for_function(f"({STICKING_OUT})().length === 0")
    except PlaywrightTimeout:
        assert page.evaluate(STICKING_OUT) == []
