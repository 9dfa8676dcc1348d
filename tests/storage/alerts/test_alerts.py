"""Alerts open once per episode, and notify each channel once per event."""

import threading
from datetime import timedelta

import pytest

from storage.actions import alerts as actions
from storage.alerts import alert_rules, alerts, channels, mutes, notifications
from storage.alerts.alert_rules import AlertRule
from storage.alerts.alerts import Alert
from storage.auth import audit_log
from storage.auth.actors import Actor, Role
from storage.database.engine import Database
from storage.errors import InvalidChange, NotFound
from tests.storage.examples import NOON, add_station, is_one_sentence

LATER, EVEN_LATER = NOON + timedelta(minutes=1), NOON + timedelta(minutes=2)
LEASE = timedelta(minutes=5)
MIA = Actor("mia", Role.ENGINEER)


def open_alert(
    database: Database, station_id: int | None = None, severity: alerts.Severity = "warning"
) -> Alert | None:
    with database.begin() as session:
        return alerts.open_episode(session, station_id, "silent", severity, "No frame came.", {"for_s": 90}, NOON)


def new_station_id(database: Database) -> int:
    with database.begin() as session:
        return add_station(session).id


def test_an_alert_is_opened_acknowledged_and_resolved_with_names_and_times(database: Database) -> None:
    alert = open_alert(database, new_station_id(database))
    assert alert is not None
    assert (alert.state, alert.opened_at, dict(alert.evidence)) == ("opened", NOON, {"for_s": 90})
    with database.begin() as session:
        acknowledged = alerts.acknowledge(session, alert.id, "mia", LATER, "I go and look")
        assert (acknowledged.state, acknowledged.acknowledged_by, acknowledged.acknowledged_at) == (
            "acknowledged",
            "mia",
            LATER,
        )
        assert alerts.acknowledge(session, alert.id, "leo", EVEN_LATER) == acknowledged
        alerts.refresh(session, alert.id, {"for_s": 120}, EVEN_LATER)
        done = alerts.resolve(session, alert.id, None, EVEN_LATER)
        assert (done.state, done.resolved_by, done.condition_seen_at, done.note) == (
            "resolved",
            None,
            EVEN_LATER,
            "I go and look",
        )
        assert alerts.resolve(session, alert.id, "leo", EVEN_LATER) == done
        with pytest.raises(InvalidChange) as caught:
            alerts.acknowledge(session, alert.id, "leo", EVEN_LATER)
        assert is_one_sentence(caught.value)
        with pytest.raises(NotFound):
            alerts.resolve(session, 99, None, NOON)


@pytest.mark.parametrize("of_line", [False, True])
def test_a_station_and_the_line_have_one_episode_of_a_rule_at_a_time(database: Database, of_line: bool) -> None:
    station_id = None if of_line else new_station_id(database)
    first = open_alert(database, station_id)
    assert first is not None
    assert open_alert(database, station_id) is None
    assert open_alert(database, new_station_id(database) if of_line else None) is not None
    with database.begin() as session:
        assert alerts.find_unresolved(session, station_id, "silent") == first
        alerts.resolve(session, first.id, None, LATER)
        assert alerts.find_unresolved(session, station_id, "silent") is None
    assert open_alert(database, station_id) is not None
    with database.read() as session:
        assert alerts.count(session, states=["resolved"]) == 1
        assert len(alerts.unresolved(session)) == 2
        assert [alert.id for alert in alerts.recent(session, states=["resolved"], since=NOON, until=LATER)] == [
            first.id
        ]


def test_two_concurrent_monitors_open_one_alert(database: Database) -> None:
    station_id = new_station_id(database)
    barrier, results = threading.Barrier(2), []

    def open_together() -> None:
        barrier.wait(60)
        results.append(open_alert(database, station_id))

    threads = [threading.Thread(target=open_together) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(alert is None for alert in results) == [False, True]


def test_a_rule_is_stored_once_per_station_and_once_for_the_line(database: Database) -> None:
    station_id = new_station_id(database)
    rules = [
        AlertRule(station_id, "silent", {"after_s": 30}, True),
        AlertRule(station_id, "silent", {"after_s": 60}, False),
        AlertRule(None, "dead_letters", {"most": 5}, True),
        AlertRule(None, "dead_letters", {"most": 9}, True),
    ]
    with database.begin() as session:
        for rule in rules:
            alert_rules.put(session, rule)
        assert alert_rules.get(session, station_id, "silent") == rules[1]
        assert alert_rules.get(session, None, "dead_letters") == rules[3]
        assert alert_rules.get(session, None, "silent") is None
        assert len(alert_rules.list_all(session)) == 2


def test_a_mute_lasts_until_it_expires_or_is_ended(database: Database) -> None:
    station_id, other = new_station_id(database), new_station_id(database)
    with database.begin() as session:
        with pytest.raises(InvalidChange):
            mutes.mute(session, station_id, NOON, "lamp", "mia", NOON)
        results = mutes.mute(session, station_id, EVEN_LATER, "lamp", "mia", NOON)
        assert mutes.in_force(session, LATER) == {station_id: results}
        assert mutes.current(session, other, LATER) is None
        assert mutes.current(session, station_id, EVEN_LATER) is None
        assert mutes.unmute(session, station_id, "leo", LATER) == results
        assert mutes.current(session, station_id, LATER) is None
        assert mutes.unmute(session, station_id, "leo", LATER) is None
        assert [(mute.ended_by, mute.ended_at) for mute in mutes.history(session, station_id)] == [("leo", LATER)]


def test_channels_are_notified_by_severity_once_per_event_and_not_of_muted_stations(database: Database) -> None:
    station_id = new_station_id(database)
    alert = open_alert(database, station_id)
    assert alert is not None
    with database.begin() as session:
        channels.add(session, "all", "json://secret@host", "info", NOON)
        channels.add(session, "grave", "json://secret@host", "critical", NOON)
        channels.add(session, "off", "json://secret@host", "info", NOON)
        channels.set_enabled(session, "off", False)
        assert notifications.enqueue(session, alert, "opened", NOON) == 1
        assert notifications.enqueue(session, alert, "opened", LATER) == 0
        mutes.mute(session, station_id, EVEN_LATER, "lamp", "mia", NOON)
        assert notifications.enqueue(session, alert, "resolved", LATER) == 0
        assert notifications.enqueue(session, alert, "resolved", EVEN_LATER) == 1
        assert "secret" not in repr(channels.list_all(session))


def test_a_notification_is_tried_until_sent_or_given_up(database: Database) -> None:
    alert = open_alert(database)
    assert alert is not None
    with database.begin() as session:
        channels.add(session, "all", "json://host", "info", NOON)
        notifications.enqueue(session, alert, "opened", NOON)
        notifications.enqueue(session, alert, "resolved", LATER)
        (first,) = notifications.claim_due(session, NOON, LEASE)
        assert (first.event, first.tries) == ("opened", 1)
        assert notifications.claim_due(session, NOON, LEASE) == []
        notifications.mark_failed(session, first.id, "no route", EVEN_LATER)
        due = notifications.claim_due(session, EVEN_LATER, LEASE)
        assert [(one.event, one.tries) for one in due] == [("opened", 2), ("resolved", 1)]
        notifications.mark_sent(session, due[0].id, EVEN_LATER)
        notifications.mark_failed(session, due[1].id, "refused", None)
        assert notifications.claim_due(session, NOON + timedelta(days=1), LEASE) == []
        assert notifications.count_pending(session) == 0
        assert [one.error for one in notifications.recent(session, alert_id=alert.id)] == ["refused", None]


def test_a_notification_of_a_dead_sender_is_claimed_again(database: Database) -> None:
    alert = open_alert(database)
    assert alert is not None
    with database.begin() as session:
        channels.add(session, "all", "json://host", "info", NOON)
        notifications.enqueue(session, alert, "opened", NOON)
        notifications.claim_due(session, NOON, LEASE)
        assert notifications.claim_due(session, NOON + LEASE - timedelta(seconds=1), LEASE) == []
        assert [one.tries for one in notifications.claim_due(session, NOON + LEASE, LEASE)] == [2]


def test_a_removed_channel_has_no_pending_notifications(database: Database) -> None:
    alert = open_alert(database)
    assert alert is not None
    with database.begin() as session:
        channels.add(session, "all", "json://host", "info", NOON)
        with pytest.raises(InvalidChange):
            channels.add(session, "all", "json://host", "info", NOON)
        notifications.enqueue(session, alert, "opened", NOON)
        channels.remove(session, "all")
        assert notifications.count_pending(session) == 0
        with pytest.raises(NotFound):
            channels.get(session, "all")


def test_acknowledging_twice_is_notified_and_audited_once(database: Database) -> None:
    alert = open_alert(database)
    assert alert is not None
    with database.begin() as session:
        channels.add(session, "all", "json://host", "info", NOON)
        for _ in range(2):
            actions.acknowledge(session, MIA, alert.id, LATER)
        for _ in range(2):
            actions.resolve(session, MIA, alert.id, EVEN_LATER)
        assert [one.event for one in notifications.recent(session)] == ["resolved", "acknowledged"]
        assert [entry.action for entry in audit_log.list_entries(session)] == ["alert.resolve", "alert.acknowledge"]
