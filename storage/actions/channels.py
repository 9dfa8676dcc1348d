"""Actions on notification channels; their URLs are secrets and reach no audit entry."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from storage.actions.audited import audited
from storage.alerts import channels
from storage.alerts.alerts import Severity
from storage.alerts.channels import Channel
from storage.auth.actors import Actor


def add(session: Session, actor: Actor, name: str, url: str, min_severity: Severity, at: datetime) -> Channel:
    """Create a channel; raises as `channels.add`."""
    with audited(session, actor, "channel.add", at, f"channel {name}") as change:
        added = channels.add(session, name, url, min_severity, at)
        change.after = _without_url(added)
    return added


def set_enabled(session: Session, actor: Actor, name: str, enabled: bool, at: datetime) -> Channel:
    """Switch a channel on or off; raises as `channels.set_enabled`."""
    with audited(session, actor, "channel.set", at, f"channel {name}") as change:
        change.before = _without_url(channels.get(session, name))
        changed = channels.set_enabled(session, name, enabled)
        change.after = _without_url(changed)
    return changed


def remove(session: Session, actor: Actor, name: str, at: datetime) -> Channel:
    """Delete a channel and return it as it was; raises as `channels.remove`."""
    with audited(session, actor, "channel.remove", at, f"channel {name}") as change:
        removed = channels.remove(session, name)
        change.before = _without_url(removed)
    return removed


def get_for_test(session: Session, actor: Actor, name: str, at: datetime) -> Channel:
    """Return the channel with its URL in clear, for the caller to send a test message to.

    Raises:
        NotFound: There is no such channel.
        SecretUnreadable: Its URL can't be decrypted.
    """
    with audited(session, actor, "channel.test", at, f"channel {name}") as change:
        channel = channels.opened(session, channels.get(session, name))
        change.after = {"test_message": "requested"}
    return channel


def _without_url(channel: Channel) -> dict[str, Any]:
    return {"service": channel.service, "enabled": channel.enabled, "min_severity": channel.min_severity}
