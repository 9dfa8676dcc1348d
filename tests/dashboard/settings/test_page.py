"""The settings page: what it changes and what each role may do."""

from dataclasses import replace
from datetime import datetime

import pytest

from storage.actions import channels as channel_actions
from storage.alerts import alert_rules, channels
from storage.auth import audit_log, users
from storage.auth.actors import Role
from storage.line import stations, thresholds
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from tests.dashboard.page_harness import fill, labels, opened, press, text
from tests.dashboard.seeding import SeededStorage
from tests.dashboard.seeding_activity import add_users


def test_each_role_can_change_its_settings(
    line: SeededStorage, s1: Station, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    actors = add_users(line, now)
    with line.database.begin() as session:
        channel_actions.add(session, actors[Role.ADMIN], "chat", "json://localhost:9/token-abc", "warning", now)

    def may(role: Role, part: str) -> set[str]:
        kept = {"Add user", "Add channel", "Test", "Save", "Mute", "Set role"}
        return set(labels(opened(line, monkeypatch, "settings", actors[role], part=part))) & kept

    assert may(Role.ENGINEER, "Users") == set()
    assert may(Role.ADMIN, "Users") == {"Add user"}
    assert may(Role.ENGINEER, "Channels") == set()
    assert may(Role.ADMIN, "Channels") == {"Add channel", "Test"}
    assert may(Role.INSPECTOR, "Stations") == set()
    assert may(Role.ENGINEER, "Stations") == {"Save"}
    assert may(Role.INSPECTOR, "Mutes") == set()
    assert may(Role.ENGINEER, "Alert rules") == {"Save"}


def test_a_channel_is_added_and_tested_and_its_address_is_never_shown(
    line: SeededStorage, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "settings", part="Channels")
    fill(app, "Name", "chat")
    fill(app, "URL", "json://localhost:9/token-abc")
    app = press(app, "Add channel")
    with line.database.read() as session:
        assert channels.opened(session, channels.get(session, "chat")).url == "json://localhost:9/token-abc"
    app = press(app, "Test")  # nothing listens on port 9
    assert app.error
    assert "token-abc" not in text(app)
    with line.database.read() as session:
        assert [entry.action for entry in audit_log.list_entries(session)] == ["channel.test", "channel.add"]


def test_a_rule_is_set_for_one_station_and_invalid_parameters_are_refused(
    line: SeededStorage, s1: Station, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "settings", part="Alert rules")
    app.selectbox(key="rules-of").set_value("s1").run()
    app.number_input(key=f"limit-flagged_share-{s1.id}").set_value(0.3)
    app.button(key=f"FormSubmitter:form-flagged_share-{s1.id}-Save").click().run()
    with line.database.read() as session:
        kept = alert_rules.get(session, s1.id, "flagged_share")
    assert kept is not None
    assert (kept.parameters, kept.enabled) == ({"limit": 0.3}, True)
    assert "set for this station" in " ".join(one.label for one in app.expander)
    app.number_input(key=f"clear-flagged_share-{s1.id}").set_value(0.9)
    app.button(key=f"FormSubmitter:form-flagged_share-{s1.id}-Save").click().run()
    assert app.error


def test_a_station_s_settings_are_changed_with_a_reason(
    line: SeededStorage, s1: Station, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "settings", part="Stations", station="s1")
    app.number_input(key=f"rate-{s1.id}").set_value(2.0)
    fill(app, "Reason", "too many escapes")
    reviews = next(one for one in app.number_input if "people have time" in one.label)
    assert reviews.value == 40
    reviews.set_value(25)
    autopilot = next(one for one in app.selectbox if "Autopilot" in one.label)
    autopilot.set_value("act")
    press(app, "Save")
    with line.database.read() as session:
        assert stations.get(session, "s1").settings.reviews_per_shift == 25
        assert stations.get(session, "s1").settings.autopilot == "act"
        assert stations.get(session, "s1").settings.false_reject_rate == 0.02
        assert audit_log.list_entries(session)[0].reason == "too many escapes"


def test_both_limits_of_a_station_are_shown_with_what_they_were_made_from(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with line.database.begin() as session:
        (calibrated,) = thresholds.history(session, s1.id)
        reason = "214 frames of the stream"
        thresholds.record(session, replace(calibrated, review_limit=0.3, kind="estimated", reason=reason))
    app = opened(line, monkeypatch, "settings", part="Stations", station="s1")
    assert "<span>Review limit</span><b>0.300</b>" in text(app)
    newest, former = (row for _, row in app.dataframe[0].value.iterrows())
    assert (newest["Threshold"], newest["Review limit"], newest["Reason"]) == ("0.410", "0.300", reason)
    assert newest["Origin"] == "estimated from the stream, 1 % false rejects"
    assert former["Review limit"] == "–"


def test_the_last_admin_stays_one(line: SeededStorage, now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    actors = add_users(line, now)
    app = opened(line, monkeypatch, "settings", actors[Role.ADMIN])
    assert app.selectbox(key="user-chosen").value == "admin"
    press(app, "disable")
    assert app.error
    with line.database.read() as session:
        assert users.get(session, "admin").disabled_at is None


def test_the_current_settings_show_no_password(
    line: SeededStorage, s1: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "settings", part="Current settings")
    values = {row["Setting"]: row["Value"] for _, row in app.dataframe[2].value.iterrows()}
    assert values["alerts.time_zone"] == "UTC"
    assert set(app.dataframe[0].value["Station"]) == {"s1"}
