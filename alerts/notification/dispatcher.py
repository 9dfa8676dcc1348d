"""Delivery of notifications from the outbox through apprise, with retries; no address is ever shown."""

import logging
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog
from sqlalchemy.orm import Session

from alerts import metrics
from alerts.errors import NotificationFailed
from foundation.backoff import exponential_s
from foundation.clock import Clock
from foundation.masking import MASK
from storage.alerts import alerts, channels, notifications
from storage.alerts.alerts import Alert
from storage.alerts.channels import Channel
from storage.alerts.notifications import Notification, NotificationEvent
from storage.database.engine import Database
from storage.errors import SecretUnreadable, StorageError
from storage.line import stations

log = structlog.get_logger()

FIRST_RETRY, LAST_RETRY = timedelta(seconds=10), timedelta(minutes=30)
MAX_ATTEMPTS = 12  # given up after about four hours
LEASE = timedelta(minutes=2)  # longer than any service takes to answer or to be given up on
POLL_INTERVAL_S = 1.0
MIN_SECRET_LENGTH = 4  # masking shorter texts would mask parts of ordinary words

Send = Callable[[str, str, str], None]
Wait = Callable[[threading.Event, float], bool]


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """The numbers of notifications that were sent and that failed."""

    sent: int = 0
    failed: int = 0


def send(url: str, title: str, body: str) -> None:
    """Send one message to the service behind an apprise address.

    Raises:
        NotificationFailed: The service did not accept it; the message holds no secret.
    """
    apprise = _library()
    capture = apprise.LogCapture(level=logging.WARNING, fmt="%(message)s")
    with _silence_apprise(), capture as captured:
        try:
            service = apprise.Apprise.instantiate(url, suppress_exceptions=True)
            if service is None:
                raise NotificationFailed(
                    "The channel's address is not one that apprise can parse; see its list of services."
                )
            accepted = service.notify(body=body, title=title)
        except (TypeError, OSError) as error:
            raise NotificationFailed(
                f"The service did not accept the message: {mask_address(str(error), url)}."
            ) from None
        reasons = mask_address(" ".join(captured.getvalue().split()), url)
    if not accepted:
        raise NotificationFailed(f"The service did not accept the message: {reasons or 'the service gave no reason.'}")


def mask_address(text: str, url: str) -> str:
    """Return the text with every secret of the address masked: user, password, and tokens in path and query."""
    parts = urlsplit(url)
    login, _, address = parts.netloc.rpartition("@")
    host, _, port = address.partition(":")
    secret_parts = [login, parts.path, parts.query]
    if "." not in host and host != "localhost":
        secret_parts.append(host)  # as in slack://TokenA/TokenB, where a token takes the place of a host
    if not port.isdigit():
        secret_parts.append(port)
    texts = [spelling for part in secret_parts for spelling in (part, unquote(part))]
    secrets = {secret for spelling in texts for secret in re.split(r"[:/&=?,;@]", spelling)}
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= MIN_SECRET_LENGTH:
            text = text.replace(secret, MASK)
    return text.replace(url, MASK)


def format_message(alert: Alert, event: NotificationEvent, station: str | None) -> tuple[str, str]:
    """Return title and body of a notification as plain text; `station` is None for the line."""
    where = station or "the line"
    titles = {"opened": alert.severity, "acknowledged": "acknowledged", "resolved": "resolved"}
    lines = [alert.message, f"Opened {_utc(alert.opened_at)}."]
    if alert.acknowledged_at is not None:
        lines.append(f"Acknowledged {_utc(alert.acknowledged_at)} by {alert.acknowledged_by}.")
    if alert.resolved_at is not None:
        by = f"by {alert.resolved_by}" if alert.resolved_by else "by itself"
        lines.append(f"Resolved {_utc(alert.resolved_at)} {by}.")
    if alert.note:
        lines.append(f"Note: {alert.note}")
    lines.append(f"Alert {alert.id}, rule {alert.rule}.")
    return f"Andon, {where}: {titles[event]}", "\n".join(lines)


def send_test(channel: Channel, by: str, at: datetime, send: Send = send) -> None:
    """Send a test message to a channel; raises `NotificationFailed`."""
    send(channel.url, "Andon: test", f"{by} tests the channel {channel.name} ({_utc(at)}). Nothing is wrong.")


class NotificationDispatcher:
    """Sends queued notifications at least once; attempts are counted, and the last error is stored."""

    def __init__(self, database: Database, clock: Clock, send: Send = send) -> None:
        self._database = database
        self._clock = clock
        self._send = send

    def deliver(self) -> DeliveryResult:
        """Send the notifications due now; after a `StorageError` the notifications in progress are sent again later."""
        with self._database.begin() as session:
            due = notifications.claim_due(session, self._clock(), LEASE)
        results = [self._deliver_one(notification) for notification in due]
        with self._database.read() as session:
            metrics.NOTIFICATIONS_PENDING.set(notifications.count_pending(session))
        return DeliveryResult(sum(results), len(results) - sum(results))

    def run(
        self,
        stop: threading.Event,
        wait_for: Wait = threading.Event.wait,
        is_active: Callable[[], bool] = lambda: True,
    ) -> None:
        """Deliver until `stop` is set, while `is_active` says so; waits while the database is unavailable."""
        while not stop.is_set():
            try:
                while is_active() and self.deliver() != DeliveryResult() and not stop.is_set():
                    pass
            except StorageError as error:  # the monitor fails in the same way, and reports it
                log.debug("the outbox can't be read", error=str(error))
            wait_for(stop, POLL_INTERVAL_S)

    def _deliver_one(self, notification: Notification) -> bool:
        with self._database.read() as session:
            alert = alerts.get(session, notification.alert_id)
            station = None if alert.station_id is None else stations.name_of(session, alert.station_id)
            channel = next((known for known in channels.list_all(session) if known.id == notification.channel_id), None)
            url, problem = self._address(session, channel)
        if channel is None:
            log.info("notification dropped, its channel was removed", alert=alert.id)
            return False
        try:
            if not channel.enabled:
                raise NotificationFailed(f"The channel {channel.name} is switched off.")
            if url is None:
                raise NotificationFailed(problem)
            self._send(url, *format_message(alert, notification.event, station))
        except NotificationFailed as error:
            self._record_failure(notification, channel, str(error))
            return False
        with self._database.begin() as session:
            notifications.mark_sent(session, notification.id, self._clock())
        metrics.NOTIFICATIONS.labels(channel.name, "sent").inc()
        log.info(
            "notification sent",
            channel=channel.name,
            alert=alert.id,
            about=notification.event,
            tries=notification.tries,
        )
        return True

    def _address(self, session: Session, channel: Channel | None) -> tuple[str | None, str]:
        """Return the channel's address in clear, or None and why it can't be read."""
        try:
            return (None if channel is None else channels.opened(session, channel).url), ""
        except SecretUnreadable as error:
            return None, str(error)

    def _record_failure(self, notification: Notification, channel: Channel, error: str) -> None:
        next_at = None if notification.tries >= MAX_ATTEMPTS else self._clock() + retry_delay(notification.tries)
        with self._database.begin() as session:
            notifications.mark_failed(session, notification.id, error, next_at)
        metrics.NOTIFICATIONS.labels(channel.name, "failed" if next_at else "given_up").inc()
        log.warning(
            "notification not sent",
            channel=channel.name,
            alert=notification.alert_id,
            tries=notification.tries,
            error=error,
        )


def retry_delay(tries: int) -> timedelta:
    """Return how long to wait after `tries` attempts: 10 s, doubled for each, at most half an hour."""
    return timedelta(seconds=exponential_s(FIRST_RETRY.total_seconds(), LAST_RETRY.total_seconds(), tries - 1))


@cache
def _library() -> Any:
    """Import apprise and load its services, which takes a while and warns of modules that Python deprecates."""
    import apprise

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        apprise.Apprise.instantiate("json://localhost")
    return apprise


@contextmanager
def _silence_apprise() -> Iterator[None]:
    """Keep apprise's own log lines, which may hold an address, out of our logs."""
    logger = logging.getLogger("apprise")
    before, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.propagate = before


def _utc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
