"""Messages reach real services, are tried again until they do, and show no secret."""

import email
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
import structlog

from alerts.errors import NotificationFailed
from alerts.notification.dispatcher import (
    FIRST_RETRY,
    LAST_RETRY,
    MAX_ATTEMPTS,
    DeliveryResult,
    NotificationDispatcher,
    format_message,
    mask_address,
    retry_delay,
    send,
    send_test,
)
from storage.alerts import alerts, channels, notifications
from storage.alerts.notifications import Notification
from storage.database.engine import Database
from storage.database.secret_key import SecretKey
from testing.clock import ManualClock
from tests.alerts.examples import make_alert
from tests.alerts.notification.fake_services import MailServer, Webhook, running
from tests.storage.examples import NOON, add_station

SECRET = "s3cr3t-token"


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    server = Webhook()
    with running(server):
        yield server


def enqueue_notification(database: Database, url: str) -> None:
    """Open an alert at a station, to be sent on one channel."""
    with database.begin() as session:
        channels.add(session, "hook", url, "info", NOON)
        station = add_station(session, "s1")
        opened = alerts.open_episode(session, station.id, "k_of_n", "warning", "6 of 10 were flagged.", {}, NOON)
        assert opened is not None
        notifications.enqueue(session, opened, "opened", NOON)


def stored_notification(database: Database) -> Notification:
    with database.read() as session:
        (notification,) = notifications.recent(session)
        return notification


def test_a_webhook_receives_the_alert_once(database: Database, webhook: Webhook) -> None:
    enqueue_notification(database, f"json://127.0.0.1:{webhook.port}/line")
    dispatcher = NotificationDispatcher(database, ManualClock(NOON))
    assert dispatcher.deliver() == DeliveryResult(sent=1)
    assert dispatcher.deliver() == DeliveryResult()
    (received,) = webhook.received
    assert received["title"] == "Andon, s1: warning"
    assert received["message"].startswith("6 of 10 were flagged.\nOpened 2026-03-14 12:00:00 UTC.")
    assert (
        stored_notification(database).tries,
        stored_notification(database).done_at,
        stored_notification(database).error,
    ) == (1, NOON, None)


def test_a_mail_server_receives_the_alert() -> None:
    server = MailServer()
    with running(server):
        url = f"mailto://127.0.0.1:{server.port}?from=andon@plant.example&to=quality@plant.example&mode=insecure"
        send(url, *format_message(replace(make_alert(), message="6 of 10 were flagged."), "opened", "s1"))
    (message,) = map(email.message_from_string, server.messages)
    assert message["Subject"] == "Andon, s1: warning"
    assert "quality@plant.example" in message["To"]
    bodies = [part.get_payload(decode=True) for part in message.walk() if not part.is_multipart()]
    assert any(isinstance(body, bytes) and b"6 of 10 were flagged." in body for body in bodies)


def test_a_failed_delivery_is_retried_with_growing_delays_until_it_succeeds(
    database: Database, webhook: Webhook
) -> None:
    enqueue_notification(database, f"json://127.0.0.1:{webhook.port}")
    clock = ManualClock(NOON)
    dispatcher = NotificationDispatcher(database, clock)
    webhook.status = 503
    assert dispatcher.deliver() == DeliveryResult(failed=1)
    assert dispatcher.deliver() == DeliveryResult()
    assert stored_notification(database).next_at == NOON + FIRST_RETRY
    clock.now = NOON + FIRST_RETRY
    assert dispatcher.deliver() == DeliveryResult(failed=1)
    assert stored_notification(database).next_at == clock.now + 2 * FIRST_RETRY
    assert "503" in (stored_notification(database).error or "")
    webhook.status = 200
    clock.now += 2 * FIRST_RETRY
    assert dispatcher.deliver() == DeliveryResult(sent=1)
    assert stored_notification(database).tries == 3


def test_a_notification_is_given_up_after_its_last_attempt_and_keeps_the_error(database: Database) -> None:
    enqueue_notification(database, "json://nowhere")
    clock = ManualClock(NOON)

    def refuse(url: str, title: str, body: str) -> None:
        raise NotificationFailed("nobody listens")

    dispatcher = NotificationDispatcher(database, clock, refuse)
    for _ in range(MAX_ATTEMPTS):
        assert dispatcher.deliver() == DeliveryResult(failed=1)
        clock.now += LAST_RETRY
    assert dispatcher.deliver() == DeliveryResult()
    assert (
        stored_notification(database).next_at,
        stored_notification(database).done_at,
        stored_notification(database).error,
    ) == (None, None, "nobody listens")


def test_a_notification_is_retried_after_its_dispatcher_died_while_sending(database: Database) -> None:
    enqueue_notification(database, "json://nowhere")
    clock = ManualClock(NOON)
    sent_titles: list[str] = []

    class Killed(BaseException):
        pass

    def die(url: str, title: str, body: str) -> None:
        raise Killed

    with pytest.raises(Killed):
        NotificationDispatcher(database, clock, die).deliver()
    second = NotificationDispatcher(database, clock, lambda url, title, body: sent_titles.append(title))
    assert second.deliver() == DeliveryResult()  # the first one may still be sending
    clock.now += timedelta(minutes=2)
    assert second.deliver() == DeliveryResult(sent=1)
    assert sent_titles == ["Andon, s1: warning"]


def test_no_secret_reaches_an_error_or_a_log(
    database: Database, webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    webhook.status = 500
    url = f"json://ada:{SECRET}@127.0.0.1:{webhook.port}/{SECRET}/path?+X-Key={SECRET}"
    enqueue_notification(database, url)
    with structlog.testing.capture_logs() as lines, caplog.at_level(logging.DEBUG, logger="apprise"):
        NotificationDispatcher(database, ManualClock(NOON)).deliver()
    assert len(webhook.paths) == 1
    assert stored_notification(database).error
    assert SECRET not in f"{stored_notification(database).error} {lines} {caplog.text}"


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        (
            "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#line",
            ["T1JJ3T3L2", "A1BRTD4JD", "TIiajkdnlazkcOXrIdevi7FQ"],
        ),
        ("tgram://123456789:abcdefg_hijklmnop/12315544/", ["123456789", "abcdefg_hijklmnop"]),
        ("mailtos://ada:pass%20word@gmail.example", ["pass%20word", "pass word"]),
    ],
)
def test_every_secret_part_of_a_url_is_masked(url: str, secrets: list[str]) -> None:
    masked = mask_address(f"could not send to {url}: {' '.join(secrets)} refused", url)
    assert "could not send to" in masked
    assert all(secret not in masked for secret in secrets)


def test_the_error_for_an_invalid_url_does_not_contain_it() -> None:
    with pytest.raises(NotificationFailed) as caught:
        send(f"nosuchservice://{SECRET}", "title", "body")
    assert SECRET not in str(caught.value)


def test_a_test_message_is_marked_as_a_test(database: Database, webhook: Webhook) -> None:
    with database.begin() as session:
        channel = channels.add(session, "hook", f"json://127.0.0.1:{webhook.port}", "info", NOON)
        channel = channels.opened(session, channel)
    send_test(channel, "ada", NOON)
    (received,) = webhook.received
    assert received["title"] == "Andon: test"
    assert "ada tests the channel hook" in received["message"]


def test_a_notification_whose_address_has_another_key_is_tried_again_and_says_why(
    database: Database, database_url: str, webhook: Webhook
) -> None:
    enqueue_notification(database, f"json://127.0.0.1:{webhook.port}")
    other = Database(database_url, secret_key=SecretKey.from_text("another key, as random as that"))
    assert NotificationDispatcher(other, ManualClock(NOON)).deliver() == DeliveryResult(failed=1)
    other.close()
    assert stored_notification(database).next_at == NOON + FIRST_RETRY
    assert "storage.secret_key" in (stored_notification(database).error or "")


def test_a_message_names_who_acknowledged_the_alert_and_how_it_was_resolved() -> None:
    alert = replace(
        make_alert(), message="No frame for 61 s.", acknowledged_at=NOON, acknowledged_by="ada", note="cable"
    )
    title, body = format_message(replace(alert, resolved_at=NOON), "resolved", None)
    assert title == "Andon, the line: resolved"
    assert "by ada" in body
    assert "Resolved 2026-03-14 12:00:00 UTC by itself." in body
    assert "Note: cable" in body


def test_retry_delays_double_up_to_half_an_hour() -> None:
    assert [retry_delay(tries).total_seconds() for tries in (1, 2, 3, 9, 11)] == [10, 20, 40, 1800, 1800]
