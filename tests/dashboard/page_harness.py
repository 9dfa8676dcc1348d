"""Opening the dashboard's pages in Streamlit's own test harness, as one of the people or as nobody in particular."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.auth.identity import TOKEN
from storage.auth import logins
from storage.auth.actors import Actor
from tests.dashboard.seeding import Line

APP = str(Path(__file__).parents[2] / "dashboard/app/main.py")


def opened(
    line: Line, monkeypatch: pytest.MonkeyPatch, screen: str = "", who: Actor | None = None, **query: str
) -> AppTest:
    """The page after its first run; `who` is logged in."""
    monkeypatch.setenv("ANDON_STORAGE__DATABASE_URL", line.database_url)
    monkeypatch.setenv("ANDON_STORAGE__IMAGES_URL", line.images_url)
    app = AppTest.from_file(APP, default_timeout=60)
    if who is not None:
        with line.database.begin() as session:
            app.session_state[TOKEN] = logins.create(session, who.name, datetime.now(UTC))
    app.run()
    if screen:
        app.switch_page(f"../{screen}/page.py")
        for name, value in query.items():
            app.query_params[name] = value
        app.run()
    assert not app.exception, app.exception
    return app


def text(app: AppTest) -> str:
    """Everything that is written on the page."""
    kinds = (
        app.html,
        app.markdown,
        app.code,
        app.subheader,
        app.title,
        app.error,
        app.info,
        app.success,
        app.warning,
        app.caption,
        app.toast,
    )
    return "\n".join(str(getattr(element, "value", None) or element.proto) for kind in kinds for element in kind)


def labels(app: AppTest, *, enabled: bool = True) -> list[str]:
    """What stands on the buttons that can (or can't) be pressed."""
    return [button.label for button in app.button if button.disabled is not enabled]
