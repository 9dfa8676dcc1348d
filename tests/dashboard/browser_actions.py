"""Actions in a browser, and waits for their effects."""

from collections.abc import Callable
from contextlib import suppress

from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

EXPECT_TIMEOUT_MS = 60_000  # a machine with many processes per core draws a page in half a minute
TEST_TIMEOUT_S = 600
IS_RUNNING = "() => document.querySelector('.stApp')?.dataset.testScriptState === 'running'"
ATTEMPTS, ATTEMPT_MS = 10, 6_000


def wait_until_drawn(page: Page) -> None:
    """Wait until the run of the page has ended, so that it handles keys and clicks."""
    expect(page.locator('.stApp[data-test-script-state="notRunning"]')).to_be_visible()


def act_until(act: Callable[[], None], seen: Callable[[float], None]) -> None:
    """Act until the effect is seen: Streamlit drops events that arrive while a live fragment is redrawn.

    Args:
        act: The action; it may fail once its effect has appeared.
        seen: Expects the effect within the given milliseconds.
    """
    for _ in range(ATTEMPTS - 1):
        with suppress(PlaywrightTimeout, AssertionError):
            act()
        with suppress(PlaywrightTimeout, AssertionError):
            seen(ATTEMPT_MS)
            return
    seen(ATTEMPT_MS)
