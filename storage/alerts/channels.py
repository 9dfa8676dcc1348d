"""Notification channels: where notifications are sent, by an apprise URL that is a secret."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from storage.alerts.alerts import SEVERITIES, Severity
from storage.database.rows import columns_of, insert_into
from storage.database.tables import ChannelRow, NotificationRow
from storage.errors import InvalidChange, NotFound


@dataclass(frozen=True, slots=True)
class Channel:
    """Receives alerts of `min_severity` and above; `url` is left out of `repr` and is never shown."""

    id: int
    name: str
    url: str = field(repr=False)
    enabled: bool
    min_severity: Severity
    created_at: datetime


def add(session: Session, name: str, url: str, min_severity: Severity, at: datetime) -> Channel:
    """Create a channel.

    Raises `InvalidChange` for a name that is taken or empty, a URL without a scheme, or an unknown severity.
    """
    if not 1 <= len(name.strip()) <= 64:
        raise InvalidChange("A channel's name has 1 to 64 characters, such as 'quality e-mail'.")
    if "://" not in url or len(url) > 1000:
        raise InvalidChange(
            "A channel's URL starts like mailtos://… or slack://…: see the list of services of apprise."
        )
    if min_severity not in SEVERITIES:
        raise InvalidChange(f"min_severity is one of {', '.join(SEVERITIES)}.")
    row = {"name": name, "url": url, "enabled": True, "min_severity": min_severity, "created_at": at}
    statement = insert_into(session, ChannelRow).values(**row).on_conflict_do_nothing().returning(*_COLUMNS)
    made = session.execute(statement).first()
    if made is None:
        raise InvalidChange(f"A channel named {name} exists already: choose another name, or remove that one.")
    return Channel(*made)


def set_enabled(session: Session, name: str, enabled: bool) -> Channel:
    """Switch a channel on or off; pending notifications stay pending. Raises `NotFound`."""
    channel = get(session, name)
    session.execute(update(ChannelRow).where(ChannelRow.id == channel.id).values(enabled=enabled))
    return get(session, name)


def remove(session: Session, name: str) -> Channel:
    """Delete a channel with its pending notifications and return it as it was; raises `NotFound`."""
    channel = get(session, name)
    session.execute(delete(NotificationRow).where(NotificationRow.channel_id == channel.id))
    session.execute(delete(ChannelRow).where(ChannelRow.id == channel.id))
    return channel


def get(session: Session, name: str) -> Channel:
    """Return the channel; raises `NotFound`, naming the existing channels."""
    row = session.execute(select(*_COLUMNS).where(ChannelRow.name == name)).first()
    if row is None:
        names = [channel.name for channel in list_all(session)]
        existing = f"use one of {', '.join(names)}" if names else "add one with `andon channels add`"
        raise NotFound(f"There is no channel {name[:80]!r}: {existing}.")
    return Channel(*row)


def list_all(session: Session) -> list[Channel]:
    """Return all channels by name."""
    return [Channel(*row) for row in session.execute(select(*_COLUMNS).order_by(ChannelRow.name))]


_COLUMNS = columns_of(ChannelRow, Channel)
