"""The alerts page: what it shows and what each role may do."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from storage.alerts import alerts, mutes
from storage.areas.regions import Region
from storage.auth import audit_log, users
from storage.auth.actors import Role
from storage.auth.audit_log import AuditFilter
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from tests.dashboard.page_harness import fill, labels, opened, press, text
from tests.dashboard.seeding import SeededStorage, verdict
from tests.dashboard.seeding_activity import add_users, alert

MINUTE = timedelta(minutes=1)


def frames(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, scores: Callable[[int], float], number: int
) -> None:
    """`number` frames, six seconds apart, the newest now."""
    line.verdicts(
        *(verdict(line, s1, normal_set, n, now - (number - n) * timedelta(seconds=6), scores(n)) for n in range(number))
    )


def test_open_alerts_are_sorted_by_severity_and_show_their_evidence(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames(line, s1, normal_set, now - 6 * MINUTE, lambda _: 0.2, 20)
    alert(line, None, "dead_letter_burst", "14 messages became dead letters.", now - MINUTE, reasons={"too-large": 14})
    alert(line, s1.id, "silent_camera", "No frame for 405 s.", now - 5 * MINUTE, "critical", silent_s=405.0)
    content = text(opened(line, monkeypatch, "alerts"))
    assert content.index("Camera silent") < content.index("Dead letters</b>")
    assert "Frames captured around the alert" in content
    assert "<b>Camera silent</b> <span>s1</span>" in content


def test_an_alert_is_acknowledged_with_a_note_then_resolved_and_both_are_in_the_log(
    line: SeededStorage, s1: Station, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    actors = add_users(line, now)
    made = alert(line, s1.id, "consecutive", "6 frames in a row were flagged.", now - MINUTE, "critical", in_a_row=6)
    app = opened(line, monkeypatch, "alerts", actors[Role.ENGINEER])
    fill(app, "Note", "belt was crooked")
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


def test_an_alert_on_scores_shows_the_last_flagged_frame_and_where_it_differs(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    region = Region("lower-left", 0.06, (0.0, 0.7, 0.3, 1.0), ((0.0, 0.7), (0.3, 0.7), (0.3, 1.0)))
    flagged = verdict(line, s1, normal_set, 1, now - 2 * MINUTE, 0.6)
    line.verdicts(replace(flagged, regions=(region,)), verdict(line, s1, normal_set, 2, now, 0.7))
    alert(line, s1.id, "consecutive", "6 frames in a row were flagged.", now - MINUTE, in_a_row=6)
    content = text(opened(line, monkeypatch, "alerts"))
    assert "lower left, 6.0 % of the picture" in content
    assert "andon-outlines" in content


def test_what_each_role_may_do_to_an_alert(
    line: SeededStorage, s1: Station, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    actors = add_users(line, now)
    alert(line, s1.id, "consecutive", "6 frames in a row were flagged.", now - MINUTE, in_a_row=6)
    may: dict[Role, set[str]] = {}
    for role, person in actors.items():
        may[role] = set(labels(opened(line, monkeypatch, "alerts", person))) & {"Acknowledge", "Resolve", "Mute"}
    assert may == {
        Role.VIEWER: set(),
        Role.INSPECTOR: {"Acknowledge"},
        Role.ENGINEER: {"Acknowledge", "Resolve", "Mute"},
        Role.ADMIN: {"Acknowledge", "Resolve", "Mute"},
    }


def test_a_page_left_open_since_a_role_was_lost_changes_nothing(
    line: SeededStorage, s1: Station, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    actors = add_users(line, now)
    made = alert(line, s1.id, "consecutive", "6 frames in a row were flagged.", now - MINUTE, in_a_row=6)
    app = opened(line, monkeypatch, "alerts", actors[Role.INSPECTOR])
    with line.database.begin() as session:
        users.set_role(session, "inspector", Role.VIEWER)
    app = press(app, "Acknowledge")
    assert "alert.acknowledge" in app.error[0].value
    with line.database.read() as session:
        assert alerts.get(session, made.id).state == "opened"


def test_a_station_is_muted_with_reason_and_time_and_the_mute_is_ended(
    line: SeededStorage, s1: Station, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "alerts")
    assert press(app, "Mute").error
    fill(app, "Reason", "lamp is being changed")
    fill(app, "For", "4 hours")
    assert "lamp is being changed" in text(press(app, "Mute"))
    with line.database.read() as session:
        mute = mutes.in_force(session, now + MINUTE)[s1.id]
    assert timedelta(hours=3, minutes=59) < mute.until_at - now < timedelta(hours=4, minutes=5)
    press(app, "End mute")
    with line.database.read() as session:
        assert mutes.in_force(session, now + MINUTE) == {}


def test_the_wall_shows_a_station_s_alert_and_names_the_line_s(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "<span>Alerts</span><b>not watched</b>" in text(opened(line, monkeypatch))
    line.worker("scorer-1", now + MINUTE)
    assert "<span>Alerts</span><b>none</b><small>no open alert</small>" in text(opened(line, monkeypatch))
    alert(line, s1.id, "score_drift", "Scores <i>drift</i>.", now - MINUTE)
    alert(line, None, "growing_lag", "900 frames wait.", now, lag=900, lag_before=500)
    content = text(opened(line, monkeypatch))
    assert 'class="andon-badge warn" title="Scores &lt;i&gt;drift&lt;/i&gt;."' in content
    assert "<span>Alerts</span><b>2</b><small>Scorers fall behind; 2 not acknowledged</small>" in content
