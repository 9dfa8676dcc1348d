"""The dashboard's pages in Streamlit's own test harness, without a browser."""

from pathlib import Path

from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from dashboard.context import PageName

MAIN = str(Path(__file__).parents[1] / "dashboard/app/main.py")
TIMEOUT_S = 60.0


def new_app(timeout_s: float = TIMEOUT_S) -> AppTest:
    """Return the dashboard, not run yet; it reads its settings from the environment."""
    return AppTest.from_file(MAIN, default_timeout=timeout_s)


def switch_page(app: AppTest, name: PageName) -> None:
    """Choose the page of the next run; Streamlit's own `switch_page` knows pages that are files only."""
    app._page_hash = calc_hash(name)
