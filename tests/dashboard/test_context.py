"""Live parts ask who is there each time they are drawn."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
import streamlit as st

from dashboard.app.settings import DashboardSettings
from dashboard.auth import identity
from dashboard.context import PageContext, draw_live
from storage.actions import users as actions
from storage.auth import logins
from storage.auth.actors import Actor, Role
from tests.dashboard.seeding import SeededStorage
from tests.dashboard.seeding_activity import add_users


class PageRunsAgain(Exception):
    pass


@dataclass
class LivePart:
    """A live part of an engineer's page; `draw` is what a browser calls to have it drawn once more."""

    drawn: int = 0
    draw: Callable[[], None] = lambda: None
    token: str = ""


@pytest.fixture
def part(line: SeededStorage, now: datetime, monkeypatch: pytest.MonkeyPatch) -> LivePart:
    actor, live = add_users(line, now)[Role.ENGINEER], LivePart()
    with line.database.begin() as session:
        live.token = logins.create(session, actor.name, now)

    def fragment(function: Callable[[], None], run_every: float) -> Callable[[], None]:
        live.draw = function
        return function

    def rerun() -> None:
        raise PageRunsAgain

    def count(_: PageContext) -> None:
        live.drawn += 1

    monkeypatch.setattr(identity, "login_token", lambda _: live.token)
    monkeypatch.setattr(st, "fragment", fragment)
    monkeypatch.setattr(st, "rerun", rerun)
    monkeypatch.setattr("dashboard.context.watch_freshness", lambda *_: None)
    page: Any = SimpleNamespace(
        database=line.database, settings=DashboardSettings(), actor=actor, now=lambda: now, time_zone=None
    )
    draw_live(page, count, 1.0)
    return live


def test_a_live_part_is_drawn_again_for_who_is_still_logged_in(part: LivePart) -> None:
    part.draw()
    assert part.drawn == 2


@pytest.mark.parametrize("what", ["disabled", "demoted", "logged out"])
def test_a_live_part_shows_nothing_more_when_the_login_has_ended(
    part: LivePart, line: SeededStorage, now: datetime, what: str
) -> None:
    admin = Actor("admin", Role.ADMIN)
    with line.database.begin() as session:
        if what == "disabled":
            actions.disable(session, admin, "engineer", now)
        elif what == "demoted":
            actions.set_role(session, admin, "engineer", Role.VIEWER, now)
        else:
            logins.revoke(session, part.token)
    with pytest.raises(PageRunsAgain):
        part.draw()
    assert part.drawn == 1
