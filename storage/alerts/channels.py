"""Notification channels: where people are told of alerts, by an apprise address that is a secret."""

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
    """Is told of alerts of `min_severity` and graver; `url` is never shown, nor part of what is printed of it."""

    id: int
    name: str
    url: str = field(repr=False)
    enabled: bool
    min_severity: Severity
    created_at: datetime


def add(session: Session, name: str, url: str, min_severity: Severity, at: datetime) -> Channel:
    """Raises `InvalidChange` for a name that is taken or empty, an address without a scheme, an unknown severity."""
    if not 1 <= len(name.strip()) <= 64:
        raise InvalidChange("A channel's name has 1 to 64 characters, such as 'quality e-mail'.")
    if "://" not in url or len(url) > 1000:
        raise InvalidChange("A channel's address reads like mailtos://… or slack://…: see apprise's list of services.")
    if min_severity not in SEVERITIES:
        raise InvalidChange(f"min_severity is one of {', '.join(SEVERITIES)}.")
    row = {"name": name, "url": url, "enabled": True, "min_severity": min_severity, "created_at": at}
    statement = insert_into(session, ChannelRow).values(**row).on_conflict_do_nothing().returning(*_COLUMNS)
    made = session.execute(statement).first()
    if made is None:
        raise InvalidChange(f"A channel named {name} is there already: choose another name, or remove that one.")
    return Channel(*made)


def set_enabled(session: Session, name: str, enabled: bool) -> Channel:
    """Switch it on or off; what waits for it keeps waiting. Raises `NotFound`."""
    channel = get(session, name)
    session.execute(update(ChannelRow).where(ChannelRow.id == channel.id).values(enabled=enabled))
    return get(session, name)


def remove(session: Session, name: str) -> Channel:
    """Forget it with its address and what was to be told on it; returns what it was. Raises `NotFound`."""
    channel = get(session, name)
    session.execute(delete(NotificationRow).where(NotificationRow.channel_id == channel.id))
    session.execute(delete(ChannelRow).where(ChannelRow.id == channel.id))
    return channel


def get(session: Session, name: str) -> Channel:
    """Raises `NotFound`, naming the channels there are."""
    row = session.execute(select(*_COLUMNS).where(ChannelRow.name == name)).first()
    if row is None:
        names = [channel.name for channel in list_all(session)]
        raise NotFound(
            f"There is no channel {name[:80]!r}; there {'are ' + ', '.join(names) if names else 'is none yet'}."
        )
    return Channel(*row)


def list_all(session: Session) -> list[Channel]:
    """By name."""
    return [Channel(*row) for row in session.execute(select(*_COLUMNS).order_by(ChannelRow.name))]


_COLUMNS = columns_of(ChannelRow, Channel)
