"""The dashboard's pages in Streamlit's own test harness, without a browser."""

import sys
from pathlib import Path

from streamlit.proto.WidgetStates_pb2 import WidgetStates
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from dashboard.context import PageName

MAIN = Path(__file__).parents[1] / "dashboard/app/main.py"
TIMEOUT_S = 60.0


class TidyAppTest(AppTest):
    """Streamlit's harness, which leaves the script that ran as ``sys.modules["__main__"]``; this one puts it back."""

    def _run(self, widget_state: WidgetStates | None = None, timeout: float | None = None) -> AppTest:
        main = sys.modules["__main__"]
        try:
            return super()._run(widget_state, timeout)
        finally:
            sys.modules["__main__"] = main


def new_app(timeout_s: float = TIMEOUT_S) -> AppTest:
    """Return the dashboard, not run yet; it reads its settings from the environment."""
    return TidyAppTest(MAIN, default_timeout=timeout_s)


def switch_page(app: AppTest, name: PageName) -> None:
    """Choose the page of the next run; Streamlit's own `switch_page` knows pages that are files only."""
    app._page_hash = calc_hash(name)
