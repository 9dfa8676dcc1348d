"""Pages of the dashboard in Streamlit's own test harness: opened as a user, read as text, with buttons pressed."""

from datetime import UTC, datetime
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button

from dashboard.auth.identity import TOKEN
from dashboard.context import PageName
from storage.auth import logins
from storage.auth.actors import Actor
from testing.streamlit_app import new_app, switch_page
from tests.dashboard.seeding import SeededStorage


def opened(
    line: SeededStorage,
    monkeypatch: pytest.MonkeyPatch,
    page: PageName = "wall",
    actor: Actor | None = None,
    **query: str,
) -> AppTest:
    """Return a page after its first run, as `actor` is logged in; in single-user mode where that is None."""
    monkeypatch.setenv("ANDON_STORAGE__DATABASE_URL", line.database_url)
    monkeypatch.setenv("ANDON_STORAGE__IMAGES_URL", line.images_url)
    app = new_app()
    if actor is not None:
        with line.database.begin() as session:
            app.session_state[TOKEN] = logins.create(session, actor.name, datetime.now(UTC))
    app.run()
    if page != "wall":
        switch_page(app, page)
        for name, value in query.items():
            app.query_params[name] = value
        app.run()
    assert not app.exception, app.exception
    return app


def text(app: AppTest) -> str:
    """Return everything that is written on the page, HTML included."""
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
    """Return the labels of the buttons that are enabled, or of those that are not."""
    return [button.label for button in app.button if button.disabled is not enabled]


def button(app: AppTest, key: str) -> Button:
    """Return the first button whose key begins with `key`, or else whose label does."""
    by_key = [each for each in app.button if str(each.key or "").startswith(key)]
    return next(iter(by_key), None) or next(each for each in app.button if each.label.startswith(key))


def press(app: AppTest, key: str, *more: str) -> AppTest:
    """Press buttons in one run and return the page after it."""
    for each in (key, *more):
        button(app, each).click()
    app.run()
    assert not app.exception
    return app


def error_shown(app: AppTest) -> bool:
    """Return whether the page shows that something was refused."""
    return len(app.error) > 0


def fill(app: AppTest, label: str, value: object) -> None:
    """Type or choose a value in the field with this label; the next run sees it."""
    fields: list[Any] = [*app.text_input, *app.number_input, *app.selectbox]
    next(field for field in fields if field.label == label).set_value(value)
