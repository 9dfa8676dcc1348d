"""Alerts, charts, audit, settings and the first station: what the pages say and let each role do."""

import csv
import io
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import csv_export
from storage.actions import alerts as alert_actions
from storage.actions import channels as channel_actions
from storage.alerts import alert_rules, alerts, channels, mutes
from storage.auth import audit_log, users
from storage.auth.actors import Role
from storage.auth.audit_log import AuditFilter
from storage.line import normal_sets, parked_frames, stations
from storage.line.normal_sets import NormalSet
from storage.line.parked_frames import ParkedFrame
from storage.line.stations import Station
from tests.dashboard.page_harness import labels, opened, text
from tests.dashboard.seeding import Line, Scene, jpeg, park, verdict
from tests.dashboard.seeding_activity import ANYBODY, alert, people, reviewed

MINUTE = timedelta(minutes=1)


def press(app: AppTest, label: str) -> AppTest:
    next(button for button in app.button if button.label == label).click()
    return app.run()


def field(app: AppTest, label: str) -> object:
    return next(one for one in (*app.text_input, *app.number_input, *app.selectbox) if one.label == label)


def frames(
    line: Line, s1: Station, normal_set: NormalSet, now: datetime, scores: Callable[[int], float], number: int
) -> None:
    """`number` frames, six seconds apart, the newest now."""
    line.verdicts(
        *(verdict(line, s1, normal_set, n, now - (number - n) * timedelta(seconds=6), scores(n)) for n in range(number))
    )


def test_open_alerts_come_gravest_first_and_say_what_they_were_decided_by(
    line: Line, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames(line, s1, normal_set, now - 6 * MINUTE, lambda _: 0.2, 20)
    alert(line, None, "dead_letter_burst", "14 messages became dead letters.", now - MINUTE, reasons={"too-large": 14})
    alert(line, s1.id, "silent_camera", "No frame for 405 s.", now - 5 * MINUTE, "critical", silent_s=405.0)
    said = text(opened(line, monkeypatch, "alerts"))
    assert said.index("Camera silent") < said.index("Dead letters</b>")
    assert "Frames captured around the alert" in said
    assert "<b>Camera silent</b> <span>s1</span>" in said


def test_an_alert_is_acknowledged_with_a_note_then_resolved_and_both_are_in_the_log(
    line: Line, s1: Station, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = people(line, now)
    made = alert(line, s1.id, "consecutive", "6 frames in a row were flagged.", now - MINUTE, "critical", in_a_row=6)
    app = opened(line, monkeypatch, "alerts", who[Role.ENGINEER])
    field(app, "Note").set_value("belt was crooked")  # type: ignore[attr-defined]
    app = press(app, "Acknowledge")
    with line.database.read() as session:
        kept = alerts.get(session, made.id)
    assert (kept.state, kept.acknowledged_by, kept.note) == ("acknowledged", "engineer", "belt was crooked")
    assert "Acknowledged by engineer" in text(app)
    assert "Acknowledge" not in labels(app)
    app = press(app, "Resolve")
    assert "Resolved by engineer" in text(app)
    with line.database.read() as session:
        assert [entry.action for entry in audit_log.list_entries(session, AuditFilter(actor="engineer"))] == [
            "alert.resolve",
            "alert.acknowledge",
        ]


def test_what_each_role_may_do_to_an_alert(
    line: Line, s1: Station, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = people(line, now)
    alert(line, s1.id, "consecutive", "6 frames in a row were flagged.", now - MINUTE, in_a_row=6)
    may: dict[Role, set[str]] = {}
    for role, person in who.items():
        may[role] = set(labels(opened(line, monkeypatch, "alerts", person))) & {"Acknowledge", "Resolve", "Mute"}
    assert may == {
        Role.VIEWER: set(),
        Role.INSPECTOR: {"Acknowledge"},
        Role.ENGINEER: {"Acknowledge", "Resolve", "Mute"},
        Role.ADMIN: {"Acknowledge", "Resolve", "Mute"},
    }


def test_a_page_left_open_since_a_role_was_lost_changes_nothing(
    line: Line, s1: Station, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = people(line, now)
    made = alert(line, s1.id, "consecutive", "6 frames in a row were flagged.", now - MINUTE, in_a_row=6)
    app = opened(line, monkeypatch, "alerts", who[Role.INSPECTOR])
    with line.database.begin() as session:
        users.set_role(session, "inspector", Role.VIEWER)
    app = press(app, "Acknowledge")
    assert "may not do alert.acknowledge" in text(app)
    with line.database.read() as session:
        assert alerts.get(session, made.id).state == "opened"


def test_a_station_is_muted_with_reason_and_time_and_the_mute_is_ended(
    line: Line, s1: Station, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "alerts")
    assert "A mute has a reason" in text(press(app, "Mute"))
    field(app, "Reason").set_value("lamp is being changed")  # type: ignore[attr-defined]
    field(app, "For").set_value("4 hours")  # type: ignore[attr-defined]
    assert "lamp is being changed" in text(press(app, "Mute"))
    with line.database.read() as session:
        mute = mutes.in_force(session, now + MINUTE)[s1.id]
    assert timedelta(hours=3, minutes=59) < mute.until_at - now < timedelta(hours=4, minutes=5)
    press(app, "End mute")
    with line.database.read() as session:
        assert mutes.in_force(session, now + MINUTE) == {}


def test_the_wall_shows_a_station_s_alert_and_names_the_line_s(
    line: Line, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "<span>Alerts</span><b>none</b><small>all quiet</small>" in text(opened(line, monkeypatch))
    alert(line, s1.id, "score_drift", "Scores <i>drift</i>.", now - MINUTE)
    alert(line, None, "growing_lag", "900 frames wait.", now, lag=900, lag_before=500)
    said = text(opened(line, monkeypatch))
    assert 'class="andon-badge warn" title="Scores &lt;i&gt;drift&lt;/i&gt;."' in said
    assert "<span>Alerts</span><b>2</b><small>Scorers fall behind; 2 not acknowledged</small>" in said


def test_control_charts_tell_which_points_broke_which_rule(
    line: Line, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = np.random.default_rng(5)
    quiet = np.exp(chance.normal(np.log(0.2), 0.1, 330))
    frames(line, s1, normal_set, now, lambda n: 0.4 if n == 329 else float(quiet[n]), 330)
    app = opened(line, monkeypatch, "quality", station="s1")
    said = text(app)
    assert "limits from 300 good frames" in said
    first = app.dataframe[0].value.iloc[0]
    assert first["Rules broken"].startswith("WE1: one beyond 3 σ")  # ln 0.4 lies 7 sigma above ln 0.2
    assert first["Score"] == "0.400"
    for chart in ("EWMA", "CUSUM"):
        assert f"{chart}: s1" in text(opened(line, monkeypatch, "quality", station="s1", chart=chart))


def test_control_charts_say_what_is_missing(
    line: Line, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "No frame has passed here so far." in text(opened(line, monkeypatch, "quality"))
    frames(line, s1, normal_set, now, lambda n: 0.2 + n / 1000, 40)
    assert "Limits are drawn from 300 good frames; 40 came" in text(opened(line, monkeypatch, "quality"))


def test_kpis_are_those_of_the_reviews(
    line: Line, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames(line, s1, normal_set, now - MINUTE, lambda n: 0.9 if n < 5 else 0.2, 100)
    reviewed(line, s1.id, 100, now, false_alarms=0)
    app = opened(line, monkeypatch, "quality", show="KPIs")
    said = text(app)
    assert "<span>First-pass yield</span><b>95.00 %</b><small>100 frames</small>" in said
    assert "<span>Flagged ppm</span><b>50,000</b>" in said
    assert "<span>DPMO</span><b>60,000</b>" in said  # 5 defects caught and 1 escaped, of 100 parts, all looked at
    assert "<span>Escapes</span><b>16.67 %</b><small>16.67 to 16.67 %</small>" in said
    row = app.dataframe[0].value.iloc[0]
    assert (row["Station"], row["Frames"], row["Flagged"]) == ("s1", 100, 5)


def test_the_audit_log_is_filtered_by_who_what_and_a_word(
    line: Line, s1: Station, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = people(line, now)
    with line.database.begin() as session:
        alert_actions.mute(session, who[Role.ENGINEER], "s1", now + 60 * MINUTE, "lamp", now)
        alert_actions.unmute(session, who[Role.ADMIN], "s1", now + MINUTE)
    app = opened(line, monkeypatch, "audit", who[Role.VIEWER])
    assert list(app.dataframe[0].value["What"]) == ["alert.unmute", "alert.mute", *4 * ["user.add"]]
    app.selectbox(key="who").set_value("engineer").run()
    assert list(app.dataframe[0].value["What"]) == ["alert.mute"]
    app.selectbox(key="who").set_value(None)
    app.text_input(key="contains").set_value("LAMP").run()
    assert list(app.dataframe[0].value["Who"]) == ["engineer"]


def test_settings_let_each_role_do_its_part(
    line: Line, s1: Station, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = people(line, now)
    with line.database.begin() as session:
        channel_actions.add(session, who[Role.ADMIN], "chat", "json://localhost:9/token-abc", "warning", now)

    def may(role: Role, part: str) -> set[str]:
        kept = {"Add user", "Add channel", "Test", "Save", "Mute", "Set role"}
        return set(labels(opened(line, monkeypatch, "settings", who[role], part=part))) & kept

    assert may(Role.ENGINEER, "Users") == set()
    assert may(Role.ADMIN, "Users") == {"Add user"}
    assert may(Role.ENGINEER, "Channels") == set()
    assert may(Role.ADMIN, "Channels") == {"Add channel", "Test"}
    assert may(Role.INSPECTOR, "Stations") == set()
    assert may(Role.ENGINEER, "Stations") == {"Save"}
    assert may(Role.INSPECTOR, "Mutes") == set()
    assert may(Role.ENGINEER, "Alert rules") == {"Save"}


def test_a_channel_is_added_and_tested_and_its_address_is_never_shown(
    line: Line, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "settings", part="Channels")
    field(app, "Name").set_value("chat")  # type: ignore[attr-defined]
    field(app, "Address").set_value("json://localhost:9/token-abc")  # type: ignore[attr-defined]
    app = press(app, "Add channel")
    with line.database.read() as session:
        assert channels.get(session, "chat").url == "json://localhost:9/token-abc"
    app = press(app, "Test")  # nobody listens on port 9
    assert "The message was not taken" in text(app)
    assert "token-abc" not in text(app)
    with line.database.read() as session:
        assert [entry.action for entry in audit_log.list_entries(session)] == ["channel.test", "channel.add"]


def test_a_rule_is_set_for_one_station_and_what_makes_no_sense_is_refused(
    line: Line, s1: Station, now: datetime, monkeypatch: pytest.MonkeyPatch
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
    assert "clear lies below limit" in text(app)


def test_a_station_s_settings_are_changed_with_a_reason(
    line: Line, s1: Station, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "settings", part="Stations", station="s1")
    field(app, "Good parts that may be flagged, in percent").set_value(2.0)  # type: ignore[attr-defined]
    field(app, "Reason").set_value("too many escapes")  # type: ignore[attr-defined]
    press(app, "Save")
    with line.database.read() as session:
        assert stations.get(session, "s1").settings.false_reject_rate == 0.02
        assert audit_log.list_entries(session)[0].reason == "too many escapes"


def test_the_last_admin_stays_one(line: Line, now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    who = people(line, now)
    app = opened(line, monkeypatch, "settings", who[Role.ADMIN])
    assert app.selectbox(key="user-chosen").value == "admin"
    press(app, "Disable: nobody logs in by this name")
    assert "The last admin is admin" in text(app)


def test_a_viewer_can_not_add_a_station(line: Line, now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    who = people(line, now)
    said = text(opened(line, monkeypatch, "add_station", who[Role.INSPECTOR]))
    assert "An engineer or an admin adds stations." in said


def test_the_wizard_leads_from_a_name_over_parked_frames_to_the_first_verdict(
    line: Line, coins: Scene, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "add_station")
    field(app, "Name").set_value("Press-1")  # type: ignore[attr-defined]
    field(app, "What does the camera look at?").set_value("coin")  # type: ignore[attr-defined]
    app = press(app, "Go on")
    with line.database.read() as session:
        place = stations.get(session, "press-1")
    assert place.settings.object_name == "coin"
    assert "Nothing has come from the camera yet" in text(app)
    assert "Go on" in labels(app, enabled=False)
    chance = np.random.default_rng(2)
    for n in range(4):
        park_picture(line, place, n, jpeg(coins.frame(chance)), now)
    app = press(app, "Look again")
    for box in app.checkbox:
        box.set_value(True)
    app = press(app.run(), "Go on")
    assert "4 good parts can promise at best one false reject in 5; 1 % can be promised from 99 good parts on." in text(
        app
    )
    app = press(app, "Begin to inspect")
    assert "Waiting for the first verdict" in text(app)
    with line.database.read() as session:
        active = normal_sets.active(session, place.id)
        actions = [entry.action for entry in audit_log.list_entries(session)]
    assert active is not None
    assert len(active.images) == 4
    assert actions == ["normal_set.activate", "normal_set.add", "station.add"]
    line.verdicts(verdict(line, place, active, 1, now, 0.2))
    assert "The first verdict of press-1: score 0.200, threshold 0.410." in text(app.run())


def park_picture(line: Line, place: Station, number: int, picture: bytes, now: datetime) -> None:
    """One frame that waits, with a picture of its own."""
    reference = line.images.put(picture)
    at = now - number * timedelta(seconds=4)
    frame_id = UUID(int=(place.id << 64) + 900 + number)
    frame = ParkedFrame(frame_id, place.id, at, at, at, reference, "image/jpeg", None, None, "andon.frames", 1, number)
    with line.database.begin() as session:
        parked_frames.park(session, [frame])


def test_a_station_that_has_no_good_parts_can_be_gone_on_with(
    line: Line, s1: Station, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    park(line, s1, 3, now)
    app = press(opened(line, monkeypatch, "add_station"), "s1")
    assert "3 frames wait." in text(app)


def test_what_is_in_force_shows_no_password(line: Line, s1: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(line, monkeypatch, "settings", part="In force")
    values = {row["Setting"]: row["Value"] for _, row in app.dataframe[2].value.iterrows()}
    assert values["alerts.time_zone"] == "UTC"
    assert set(app.dataframe[0].value["Station"]) == {"s1"}


def test_an_export_is_read_back_as_it_was_and_runs_nothing(line: Line, s1: Station, now: datetime) -> None:
    with line.database.begin() as session:
        alert_actions.mute(session, ANYBODY, "s1", now + 60 * MINUTE, '=cmd|"/c calc"!A1', now)
        entries = audit_log.list_entries(session)
    (row,) = csv.DictReader(io.StringIO(csv_export.audit(entries).decode("utf-8-sig")))
    assert row["reason"] == '\'=cmd|"/c calc"!A1'
    assert (row["action"], row["actor"], row["before"]) == ("alert.mute", "single user", "")
    assert row["at"] == now.isoformat().replace("+00:00", "Z")
