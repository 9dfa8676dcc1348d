"""What people do to notification channels; their addresses are secrets and reach no audit entry."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from storage import audit, channels
from storage.actors import Actor
from storage.alerts import Severity
from storage.channels import Channel
from storage.desk.permission import permit


def add(session: Session, actor: Actor, name: str, url: str, min_severity: Severity, at: datetime) -> Channel:
    """As `channels.add`; raises `NotAllowed`."""
    who = permit(session, actor, "channel.add")
    made = channels.add(session, name, url, min_severity, at)
    audit.record(session, who, "channel.add", at, subject=f"channel {name}", after=_shown(made))
    return made


def set_enabled(session: Session, actor: Actor, name: str, enabled: bool, at: datetime) -> Channel:
    """As `channels.set_enabled`; raises `NotAllowed`. What changes nothing is no entry."""
    who = permit(session, actor, "channel.set")
    before = channels.get(session, name)
    after = channels.set_enabled(session, name, enabled)
    if after != before:
        shown = _shown(before), _shown(after)
        audit.record(session, who, "channel.set", at, subject=f"channel {name}", before=shown[0], after=shown[1])
    return after


def remove(session: Session, actor: Actor, name: str, at: datetime) -> Channel:
    """As `channels.remove`; raises `NotAllowed`."""
    who = permit(session, actor, "channel.remove")
    gone = channels.remove(session, name)
    audit.record(session, who, "channel.remove", at, subject=f"channel {name}", before=_shown(gone))
    return gone


def to_test(session: Session, actor: Actor, name: str, at: datetime) -> Channel:
    """The channel, for its caller to send a test message to; raises `NotAllowed`, `NotFound`."""
    who = permit(session, actor, "channel.test")
    channel = channels.get(session, name)
    audit.record(session, who, "channel.test", at, subject=f"channel {name}")
    return channel


def _shown(channel: Channel) -> dict[str, Any]:
    service = channel.url.partition("://")[0]
    return {"service": service, "enabled": channel.enabled, "min_severity": channel.min_severity}
