"""Notification channels: where notifications are sent, by an apprise URL that is a secret and encrypted at rest.

The column of a channel holds ``service+encrypted://`` and the encrypted URL; the name of the service is no secret.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from storage.alerts.alerts import SEVERITIES, Severity
from storage.database.rows import columns_of, insert_into
from storage.database.secret_key import key_of
from storage.database.tables import ChannelRow, NotificationRow
from storage.errors import InvalidChange, NotFound, SecretUnreadable

MAX_URL_BYTES = 700  # encrypted and in base64, it fits the column
_MARK = "+encrypted"
_MAX_SERVICE = 20  # characters


@dataclass(frozen=True, slots=True)
class Channel:
    """Receives alerts of `min_severity` and above.

    `url` is encrypted, except in what `opened` returns; it is left out of `repr` and is never shown.
    """

    id: int
    name: str
    url: str = field(repr=False)
    enabled: bool
    min_severity: Severity
    created_at: datetime

    @property
    def service(self) -> str:
        """The kind of service, such as ``slack``, which is no secret: the scheme of the URL."""
        return self.url.partition("://")[0].removesuffix(_MARK)


def add(session: Session, name: str, url: str, min_severity: Severity, at: datetime) -> Channel:
    """Create a channel.

    Raises `InvalidChange` for a name that is taken or empty, a URL without a scheme, or an unknown severity.
    """
    if not 1 <= len(name.strip()) <= 64:
        raise InvalidChange("A channel's name has 1 to 64 characters, such as 'quality e-mail'.")
    if "://" not in url or len(url.encode()) > MAX_URL_BYTES:
        raise InvalidChange(
            f"A channel's URL starts like mailtos://… or slack://… and has at most {MAX_URL_BYTES} bytes: see the list "
            "of services of apprise."
        )
    if min_severity not in SEVERITIES:
        raise InvalidChange(f"min_severity is one of {', '.join(SEVERITIES)}.")
    row = {
        "name": name,
        "url": _encrypted(session, name, url),
        "enabled": True,
        "min_severity": min_severity,
        "created_at": at,
    }
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


def opened(session: Session, channel: Channel) -> Channel:
    """Return the channel with its URL in clear, for sending; raises `SecretUnreadable`."""
    service, _, encrypted = channel.url.partition("://")
    if not service.endswith(_MARK):  # stored by an earlier version; `encrypt_all` changes it
        return channel
    try:
        return replace(channel, url=key_of(session).decrypt(encrypted, channel.name))
    except SecretUnreadable as error:
        raise SecretUnreadable(f"The address of the channel {channel.name} can't be read. {error}") from None


def encrypt_all(session: Session) -> int:
    """Encrypt the URLs that an earlier version stored in clear, and return how many; raises `SecretUnreadable`."""
    clear = [channel for channel in list_all(session) if not channel.url.partition("://")[0].endswith(_MARK)]
    for channel in clear:
        url = _encrypted(session, channel.name, channel.url)
        session.execute(update(ChannelRow).where(ChannelRow.id == channel.id).values(url=url))
    return len(clear)


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


def _encrypted(session: Session, name: str, url: str) -> str:
    return f"{url.partition('://')[0][:_MAX_SERVICE]}{_MARK}://{key_of(session).encrypt(url, name)}"


_COLUMNS = columns_of(ChannelRow, Channel)
