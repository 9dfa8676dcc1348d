"""People with a role, and a browser that came with their login."""

from datetime import datetime
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button

from dashboard.auth.identity import TOKEN
from storage.auth import logins, users
from storage.auth.actors import Actor, Role
from tests.dashboard.seeding import Line

APP = str(Path(__file__).parents[2] / "dashboard/app/main.py")
BOSS = "boss"


def somebody(line: Line, name: str, role: Role, at: datetime) -> Actor:
    """A user of that name; the first one of all is an admin."""
    with line.database.begin() as session:
        if not users.any_exist(session):
            users.add(session, BOSS, Role.ADMIN, None, at)
        return users.add(session, name, role, None, at).actor


def opened(line: Line, monkeypatch: pytest.MonkeyPatch, screen: str, who: Actor | None = None, **query: str) -> AppTest:
    """The page as this person sees it; as anybody in single-user mode where nobody is named."""
    monkeypatch.setenv("ANDON_STORAGE__DATABASE_URL", line.database_url)
    monkeypatch.setenv("ANDON_STORAGE__IMAGES_URL", line.images_url)
    app = AppTest.from_file(APP, default_timeout=60)
    if who is not None:
        with line.database.begin() as session:
            app.session_state[TOKEN] = logins.create(session, who.name, datetime.now().astimezone())
    app.run()
    app.switch_page(f"../{screen}/page.py")
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def press(app: AppTest, label: str, *more: str) -> AppTest:
    """Press the buttons that begin with these words, in one go, and look at what comes of it."""
    for each in (label, *more):
        button(app, each).click()
    app.run()
    assert not app.exception
    return app


def button(app: AppTest, label: str) -> Button:
    return next(each for each in app.button if each.label.startswith(label))


def text(app: AppTest) -> str:
    kinds = (
        app.html, app.markdown, app.code, app.subheader, app.title, app.error, app.info, app.success, app.caption,
        app.warning, app.toast,
    )  # fmt: skip
    return "\n".join(str(getattr(element, "value", None) or element.proto) for kind in kinds for element in kind)
