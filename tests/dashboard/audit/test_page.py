"""The audit log page."""

from datetime import datetime, timedelta

import pytest

from storage.actions import alerts as alert_actions
from storage.auth.actors import Role
from storage.line.stations import Station
from tests.dashboard.page_harness import opened
from tests.dashboard.seeding import SeededStorage
from tests.dashboard.seeding_activity import add_users

MINUTE = timedelta(minutes=1)


def test_the_audit_log_is_filtered_by_person_action_and_text(
    line: SeededStorage, s1: Station, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    actors = add_users(line, now)
    with line.database.begin() as session:
        alert_actions.mute(session, actors[Role.ENGINEER], "s1", now + 60 * MINUTE, "lamp", now)
        alert_actions.unmute(session, actors[Role.ADMIN], "s1", now + MINUTE)
    app = opened(line, monkeypatch, "audit", actors[Role.VIEWER])
    assert list(app.dataframe[0].value["Action"]) == ["alert.unmute", "alert.mute", *4 * ["user.add"]]
    app.selectbox(key="person").set_value("engineer").run()
    assert list(app.dataframe[0].value["Action"]) == ["alert.mute"]
    app.selectbox(key="person").set_value(None)
    app.text_input(key="contains").set_value("LAMP").run()
    assert list(app.dataframe[0].value["Person"]) == ["engineer"]
