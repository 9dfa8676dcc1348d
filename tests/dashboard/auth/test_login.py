"""Logging in: who may, as which user, and for how long."""

import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard.app.command import SETTINGS_FLAG, command
from dashboard.app.settings import DashboardSettings
from dashboard.auth.account import SINGLE_USER_WARNING
from dashboard.auth.identity import TOKEN, verified_name
from dashboard.auth.login_handover import CODE_LIFETIME, LoginHandover, cookie_name, redeeming_script
from dashboard.context import PageName
from storage.actions import users as actions
from storage.auth import logins
from storage.auth.actors import Role
from tests.dashboard.page_harness import labels, opened, text
from tests.dashboard.seeding import SeededStorage
from tests.dashboard.seeding_activity import PASSWORD, add_users


def log_in(app: AppTest, name: str, password: str) -> AppTest:
    fields = {field.label: field for field in app.text_input}
    fields["Name"].set_value(name)
    fields["Password"].set_value(password)
    next(button for button in app.button if button.label == "Log in").click()
    return app.run()


def test_without_users_the_page_says_that_anybody_is_an_admin(
    line: SeededStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert SINGLE_USER_WARNING in text(opened(line, monkeypatch))


def test_a_dashboard_that_is_open_to_the_network_without_users_says_so_above_every_page(
    line: SeededStorage, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = DashboardSettings(host="0.0.0.0", allow_anybody=True)
    monkeypatch.setattr(sys, "argv", ["app.py", SETTINGS_FLAG, settings.model_dump_json()])
    st.cache_resource.clear()
    try:
        for page in ("wall", "alerts"):
            assert [warning.icon for warning in opened(line, monkeypatch, page).warning] == [":material/lock_open:"]
        actors = add_users(line, now)
        assert not opened(line, monkeypatch, "alerts", actors[Role.ADMIN]).warning
    finally:
        st.cache_resource.clear()


def test_with_users_nobody_sees_anything_before_logging_in(
    line: SeededStorage, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_users(line, now)
    line.station("press-1", now)
    pages: tuple[PageName, ...] = ("wall", "alerts", "settings", "add-station")
    for page in pages:
        app = opened(line, monkeypatch, page)
        assert labels(app) == ["Log in"]
        assert "press-1" not in text(app)


def test_a_right_password_lets_in_and_log_out_closes_again(
    line: SeededStorage, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_users(line, now)
    app = log_in(opened(line, monkeypatch), "inspector", PASSWORD)
    assert "Logged in as **inspector**, inspector." in text(app)
    token = app.session_state[TOKEN]
    next(button for button in app.button if button.label == "Log out").click()
    app.run()
    assert labels(app) == ["Log in"]
    with line.database.read() as session:
        assert logins.find_actor(session, token, now) is None


def test_a_wrong_password_is_refused_and_the_sixth_waits(
    line: SeededStorage, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_users(line, now)
    app = opened(line, monkeypatch)
    for _ in range(logins.MAX_ATTEMPTS):
        assert "Name or password is not right." in text(log_in(app, "admin", "wrong password"))
    assert "wait 15 min and try again" in text(log_in(app, "admin", PASSWORD))


def test_an_expired_login_requires_a_new_one(
    line: SeededStorage, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_users(line, now)
    with line.database.begin() as session:
        token = logins.create(session, "engineer", now - logins.IDLE_TIMEOUT - timedelta(minutes=1))
    app = opened(line, monkeypatch)
    app.session_state[TOKEN] = token
    app.run()
    assert labels(app) == ["Log in"]


def test_a_user_disabled_meanwhile_is_logged_out_at_the_next_run(
    line: SeededStorage, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    actors = add_users(line, now)
    app = opened(line, monkeypatch, "alerts", actors[Role.ENGINEER])
    with line.database.begin() as session:
        actions.disable(session, actors[Role.ADMIN], "engineer", now)
    assert labels(app.run()) == ["Log in"]


def test_adding_the_first_user_ends_single_user_mode_and_logs_that_user_in(
    line: SeededStorage, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "settings")
    fields = {field.label: field for field in app.text_input}
    fields["Name"].set_value("m.weber")
    fields["Password"].set_value(PASSWORD)
    next(button for button in app.button if button.label == "Add user").click()
    app.run()
    assert "Logged in as **m\\.weber**, admin." in text(app)
    assert "Single-user mode" not in text(app)
    assert labels(opened(line, monkeypatch)) == ["Log in"]


def test_a_first_user_without_password_would_lock_everybody_out(
    line: SeededStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "settings")
    {field.label: field for field in app.text_input}["Name"].set_value("m.weber")
    next(button for button in app.button if button.label == "Add user").click()
    assert app.run().error


def test_a_login_service_is_offered_where_one_is_set_or_says_what_it_lacks(
    line: SeededStorage, now: datetime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = DashboardSettings(login_file=tmp_path / "login.toml")
    assert command(settings)[command(settings).index("--secrets.files") + 1] == str(tmp_path / "login.toml")
    assert "--secrets.files" not in command(DashboardSettings())
    add_users(line, now)
    monkeypatch.setattr(sys, "argv", ["app.py", SETTINGS_FLAG, settings.model_dump_json()])
    st.cache_resource.clear()
    try:
        app = opened(line, monkeypatch)
        offered = "Log in with your organisation" in labels(app)
        assert offered or "the package Authlib is not installed" in text(app)
        assert "Log in" in labels(app)  # by password, for when the login service is unavailable
    finally:
        st.cache_resource.clear()


@pytest.mark.parametrize(
    ("claims", "named"),
    [
        ({"is_logged_in": True, "email": "mia@plant.example", "email_verified": True}, "mia@plant.example"),
        ({"is_logged_in": True, "email": "mia@plant.example", "email_verified": "true"}, "mia@plant.example"),
        ({"is_logged_in": True, "email": "mia@plant.example"}, None),
        ({"is_logged_in": True, "email": "mia@plant.example", "email_verified": False}, None),
        ({"is_logged_in": False, "email": "mia@plant.example"}, None),
        ({"is_logged_in": True, "email": ["mia@plant.example"]}, None),
        ({"is_logged_in": True}, None),
        ({}, None),
    ],
)
def test_a_login_service_identifies_a_user_only_by_a_verified_address(
    claims: dict[str, object], named: str | None
) -> None:
    assert verified_name(claims, "email") == named


def test_another_claim_can_name_the_user() -> None:
    assert verified_name({"is_logged_in": True, "preferred_username": "mia"}, "preferred_username") == "mia"


def test_a_code_gives_its_token_once_and_for_a_minute(now: datetime) -> None:
    handover = LoginHandover()
    code, late = handover.put("token", now), handover.put("other", now)
    assert code != late
    assert code in redeeming_script(code)
    assert "token" not in redeeming_script(code)
    assert handover.redeem(code, now + timedelta(seconds=59)) == "token"
    assert handover.redeem(code, now) is None
    assert handover.redeem(late, now + CODE_LIFETIME) is None
    assert handover.redeem("", now) is None


def test_two_dashboards_on_one_machine_have_a_cookie_each() -> None:
    assert cookie_name(8501) != cookie_name(8502)
