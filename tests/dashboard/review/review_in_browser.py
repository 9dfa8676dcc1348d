"""What the review page shows in a browser, and the labels that were stored."""

import re

from playwright.sync_api import Page, expect

from storage.review import labels, reviews
from tests.dashboard.browser_actions import wait_until_drawn
from tests.dashboard.seeding import SeededStorage

FRAMES = 24


def shows(page: Page, score: float) -> None:
    """Expect the page to show the frame of that score, with buttons that respond to keys."""
    expect(page.locator(".st-key-card-review .andon-score").filter(visible=True)).to_contain_text(f"score {score:.3f}")
    expect(page.get_by_role("button", name=re.compile("Defect"))).to_be_enabled()
    wait_until_drawn(page)


def current_labels(line: SeededStorage) -> list[tuple[float, str, tuple[str, ...]]]:
    """Return the label of each labelled frame as (score, label, defect types), in the order of the frames."""
    with line.database.read() as session:
        found = labels.recent(session, 1, limit=1000)
    return [(0.5 + (one.frame_id.int & 0xFFFF) / 100, one.label, one.tags) for one in found]


def entries(line: SeededStorage) -> int:
    with line.database.read() as session:
        return len(reviews.recent(session, limit=1000))
