"""Screenshots for the guides, of a realistic day: `python -m tests.dashboard.guide_pictures docs/images [NAME …]`."""

import io
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from dashboard.app.settings import DashboardSettings
from ingest.sources.simulated import normals
from storage.actions import jobs as job_actions
from storage.actions import normal_sets as normal_set_actions
from storage.actions import reviews as review_actions
from storage.line import jobs, normal_sets, stations, verdicts, what_if
from storage.line.what_if import WhatIfRequest
from storage.review import review_queue
from storage.review.review_queue import QueueFilter
from storage.review.reviews import LabelSubmission
from testing.chromium import CHROMIUM_OPTIONS, TIMEOUT_MS, executable, running_dashboard
from tests.dashboard.seeding import MODEL, PLANS, SeededStorage, jpeg, park, seed_day
from tests.dashboard.seeding_activity import ADMIN, seed_activity

COLOURS = 256
LOADED = "() => !document.querySelector('[data-testid=stSkeleton]')"
QUIET_MS = 2500  # after the page has run: charts and images appear a moment later
STATION = "coin-tray"


@dataclass(frozen=True, slots=True)
class Picture:
    """A page's path below the dashboard's URL, the screenshot's size in CSS pixels, and what is done before it.

    `press` presses buttons on the page, `prepare` changes the database before the page is opened.
    """

    address: str
    size: tuple[int, int] = (1400, 980)
    press: Callable[[Page], None] = lambda _: None
    prepare: Callable[[SeededStorage], None] = lambda _: None


def choose_three(page: Page) -> None:
    for number in range(3):
        page.locator('[class*="st-key-choice-"] [data-testid="stCheckbox"] label').nth(number).click()
        page.wait_for_timeout(QUIET_MS)


def park_coins(line: SeededStorage) -> None:
    """Add a station without a normal set, for which twelve frames wait."""
    now = datetime.now(UTC)
    station = line.station("coin-press", now, object_name="coin")
    park(line, station, 12, now, [jpeg(Image.open(io.BytesIO(data))) for data in normals("coins", 12)])


PICTURES = {
    "wall": Picture("/", (1440, 900)),
    "station": Picture(f"/station?station={STATION}&range=24+h", (1440, 1240)),
    "review": Picture(f"/review?station={STATION}&order=Most+uncertain"),
    "review-grid": Picture(f"/review?mode=Grid&station={STATION}", (1400, 900), choose_three),
    "review-missed": Picture("/review?mode=Find+a+frame&frame={missed}", (1400, 1500)),
    "alerts": Picture("/alerts?alert={drift}", (1400, 1180)),
    "control-chart": Picture(f"/quality?station={STATION}", (1400, 1000)),
    "kpis": Picture("/quality?panel=KPIs&kpi_time=24+h", (1400, 1240)),
    "audit": Picture("/audit", (1400, 900)),
    "normals-what-if": Picture(f"/normals?station={STATION}&view=What+if", (1400, 1100)),
    "add-station": Picture("/add-station?new=coin-press", (1400, 900), prepare=park_coins),  # last: it adds a station
}


def main() -> None:
    folder, wanted = Path(sys.argv[1]), sys.argv[2:] or list(PICTURES)
    with tempfile.TemporaryDirectory(prefix="andon-pictures-") as home:
        line, now = SeededStorage.new(Path(home)), datetime.now(UTC)
        seed_day(line, now)
        seed_activity(line, now)
        label_sample(line, now)
        finish_what_if(line, now)
        ids = frame_and_alert_ids(line)
        with running_dashboard(line.database_url, line.images_url, DashboardSettings(worker_timeout_s=600)) as address:
            take(folder, address, wanted, ids, line)
        line.database.close()


def label_sample(line: SeededStorage, now: datetime) -> None:
    """Label all sampled frames as good but two."""
    with line.database.begin() as session:
        drawn = review_queue.list_queued(session, QueueFilter(only_sampled=True), limit=1000)
        submissions = [
            LabelSubmission(uuid4(), frame.frame_id, "defect" if index in (40, 90) else "false_alarm")
            for index, frame in enumerate(drawn[20:])
        ]
        review_actions.label(session, ADMIN, submissions, now - timedelta(minutes=20))


def finish_what_if(line: SeededStorage, now: datetime) -> None:
    """Create a draft with two false rejects and its what-if: frames labelled as false rejects would pass."""
    with line.database.begin() as session:
        station = stations.get(session, STATION)
        frames = what_if.frames_to_rescore(session, station.id, 200)
        for frame in [one for one in frames if one.label == "false_alarm" and one.decision == "flag"][:2]:
            normal_set_actions.propose(session, ADMIN, frame.frame_id, now)
        draft = normal_set_actions.draft_from_candidates(session, ADMIN, STATION, "two accepted coins added", now)
        job_actions.start_what_if(session, ADMIN, STATION, draft.version, now)
        job = jobs.claim(session, "scorer-1", ["what_if"], now)
        assert job is not None
        scores = {one.frame_id: 0.35 if one.label == "false_alarm" else one.score for one in frames}
        guarantee = (
            "10 normals guarantee a false-reject rate of at most 9.09 %; 1 % is an estimate that assumes log-normally "
            "distributed scores. A guarantee of 1 % needs 99 normals."
        )
        result = what_if.compare(WhatIfRequest.from_json(job.payload), MODEL, 0.41, guarantee, frames, scores, {})
        jobs.finish(session, job.id, "scorer-1", result.to_json(), now)


def frame_and_alert_ids(line: SeededStorage) -> dict[str, str]:
    """Return the ids that URLs need: of a defect that passed, and of the alert on a drift."""
    with line.database.read() as session:
        station = stations.get(session, STATION)
        assert normal_sets.active(session, station.id) is not None
        passed = verdicts.recent(session, station.id, decision="pass", limit=5000)
        missed = next(frame for frame in passed if frame.truth != "good")
    return {"missed": str(missed.frame_id), "drift": "2"}


def add_current_frames(line: SeededStorage, at: datetime) -> None:
    """Keep the scorers healthy, and add one more good part for each camera that is not silent."""
    line.worker("scorer-1", at, lag=3)
    line.worker("scorer-2", at, lag=2)
    with line.database.begin() as session:
        for plan in (one for one in PLANS if not (one.silent_s or one.parked)):
            station = stations.get(session, plan.name)
            newest = verdicts.recent(session, station.id, decision="pass", limit=200)
            good = next(one for one in newest if one.truth == "good")
            later = at - good.captured_at
            moved = {name: getattr(good, name) + later for name in ("captured_at", "published_at", "decided_at")}
            verdicts.record(session, [replace(good, frame_id=uuid4(), **moved)])


def take(folder: Path, address: str, wanted: list[str], ids: dict[str, str], line: SeededStorage) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(playwright), args=CHROMIUM_OPTIONS)
        for name in wanted:
            picture = PICTURES[name]
            add_current_frames(line, datetime.now(UTC))
            picture.prepare(line)
            width, height = picture.size
            context = browser.new_context(
                viewport={"width": width, "height": height}, timezone_id="Europe/Berlin", locale="en-GB"
            )
            page = context.new_page()
            page.set_default_timeout(2 * TIMEOUT_MS)
            page.goto(address + picture.address.format(**ids))
            page.locator('.stApp[data-test-script-state="notRunning"]').wait_for()
            page.wait_for_function(LOADED)
            page.wait_for_timeout(QUIET_MS)
            picture.press(page)
            taken = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            taken.quantize(COLOURS, kmeans=2).save(folder / f"{name}.png", optimize=True)
            context.close()
        browser.close()


if __name__ == "__main__":
    main()
