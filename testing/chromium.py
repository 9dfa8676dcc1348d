"""Chromium driven by Playwright, and the real dashboard process on a free port."""

import os
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

from dashboard.app.command import command
from dashboard.app.settings import DashboardSettings
from testing.availability import skip_unavailable
from testing.ports import free_port

CHROMIUM_OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TIMEOUT_MS = 90_000
DASHBOARD = Path(__file__).parents[1] / "dashboard/app"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Run Debian's Chromium where it is installed, else Playwright's."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(playwright), args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def browser_context(chromium: Browser) -> Iterator[BrowserContext]:
    """Open a new browser session: 1440 × 900 pixels, in Berlin's time zone, with light colours."""
    context = chromium.new_context(
        viewport={"width": 1440, "height": 900}, color_scheme="light", timezone_id="Europe/Berlin", locale="en-GB"
    )
    context.set_default_timeout(TIMEOUT_MS)
    yield context
    context.close()


@pytest.fixture
def page(browser_context: BrowserContext) -> Page:
    """Open a page in the browser session."""
    return browser_context.new_page()


@contextmanager
def running_dashboard(
    database_url: str, images_url: str, settings: DashboardSettings | None = None, port: int | None = None
) -> Iterator[str]:
    """Run the dashboard as `andon dashboard` does, on a free port, and yield its address."""
    in_use = (settings or DashboardSettings(refresh_every_s=0.5)).model_copy(update={"port": port or free_port()})
    process = subprocess.Popen(
        command(in_use),
        env=os.environ | {"ANDON_STORAGE__DATABASE_URL": database_url, "ANDON_STORAGE__IMAGES_URL": images_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output: deque[str] = deque(maxlen=200)
    up = threading.Event()

    def read_output() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            output.append(line)
            if "URL:" in line:
                up.set()
        up.set()  # the process has ended

    reader = threading.Thread(target=read_output)
    reader.start()
    try:
        assert up.wait(120), f"the dashboard printed nothing for two minutes:\n{''.join(output)}"
        assert process.poll() is None, f"the dashboard did not start:\n{''.join(output)}"
        yield f"http://{in_use.host}:{in_use.port}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        reader.join(10)
        assert process.stdout is not None
        process.stdout.close()
    own_lines = [line for line in output if 'File "' in line and f"{DASHBOARD}{os.sep}" in line]
    assert not own_lines, f"the dashboard's own code is in a traceback:\n{''.join(output)}"


def executable(playwright: Playwright) -> str:
    """Return the path of Chromium, or skip the test where it is not installed."""
    debian = shutil.which("chromium")
    if debian:
        return debian
    bundled: str = playwright.chromium.executable_path
    if not Path(bundled).exists():
        skip_unavailable("Chromium is not installed: apt install chromium, or playwright install chromium")
    return bundled
