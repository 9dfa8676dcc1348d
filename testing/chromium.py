"""Chromium driven by Playwright, and the real dashboard process on a free port."""

import os
import shutil
import socket
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

QUIETLY = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 30_000
ROOM = Path(__file__).parents[1] / "dashboard/app"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium where it is installed, else the one that Playwright brings."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(playwright), args=QUIETLY)
        yield browser
        browser.close()


@pytest.fixture
def browser_context(chromium: Browser) -> Iterator[BrowserContext]:
    """A fresh visitor at 1440 × 900 in Berlin who prefers light colours."""
    context = chromium.new_context(
        viewport={"width": 1440, "height": 900}, color_scheme="light", timezone_id="Europe/Berlin", locale="en-GB"
    )
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def page(browser_context: BrowserContext) -> Page:
    return browser_context.new_page()


@contextmanager
def running_dashboard(
    database_url: str, images_url: str, settings: DashboardSettings | None = None, port: int | None = None
) -> Iterator[str]:
    """Start the dashboard as `andon dashboard` does, on a free port; give its address, and stop it at the end."""
    chosen = (settings or DashboardSettings(refresh_every_s=0.5)).model_copy(update={"port": port or free_port()})
    process = subprocess.Popen(
        command(chosen),
        env=os.environ | {"ANDON_STORAGE__DATABASE_URL": database_url, "ANDON_STORAGE__IMAGES_URL": images_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said: deque[str] = deque(maxlen=200)
    up = threading.Event()

    def listen() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if "URL:" in line:
                up.set()
        up.set()  # it ended

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        assert up.wait(120), f"the dashboard said nothing for two minutes:\n{''.join(said)}"
        assert process.poll() is None, f"the dashboard did not start:\n{''.join(said)}"
        yield f"http://{chosen.host}:{chosen.port}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        listener.join(10)
        assert process.stdout is not None
        process.stdout.close()
    ours = [line for line in said if 'File "' in line and f"{ROOM}{os.sep}" in line]
    assert not ours, f"the dashboard's own code stands in a traceback:\n{''.join(said)}"


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def executable(playwright: Playwright) -> str:
    debian = shutil.which("chromium")
    if debian:
        return debian
    brought: str = playwright.chromium.executable_path
    if not Path(brought).exists():
        skip_unavailable("Chromium is not installed: apt install chromium, or playwright install chromium")
    return brought
