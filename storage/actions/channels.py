"""What people do to notification channels; their addresses are secrets and reach no audit entry."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from storage.alerts import channels
from storage.alerts.alerts import Severity
from storage.alerts.channels import Channel
from storage.auth import audit_log
from storage.auth.actors import Actor
from storage.auth.permission import authorize


def add(session: Session, actor: Actor, name: str, url: str, min_severity: Severity, at: datetime) -> Channel:
    """As `channels.add`; raises `PermissionDenied`."""
    who = authorize(session, actor, "channel.add")
    made = channels.add(session, name, url, min_severity, at)
    audit_log.record(session, who, "channel.add", at, subject=f"channel {name}", after=_shown(made))
    return made


def set_enabled(session: Session, actor: Actor, name: str, enabled: bool, at: datetime) -> Channel:
    """As `channels.set_enabled`; raises `PermissionDenied`. What changes nothing is no entry."""
    who = authorize(session, actor, "channel.set")
    before = channels.get(session, name)
    after = channels.set_enabled(session, name, enabled)
    if after != before:
        shown = _shown(before), _shown(after)
        audit_log.record(session, who, "channel.set", at, subject=f"channel {name}", before=shown[0], after=shown[1])
    return after


def remove(session: Session, actor: Actor, name: str, at: datetime) -> Channel:
    """As `channels.remove`; raises `PermissionDenied`."""
    who = authorize(session, actor, "channel.remove")
    gone = channels.remove(session, name)
    audit_log.record(session, who, "channel.remove", at, subject=f"channel {name}", before=_shown(gone))
    return gone


def get_for_test(session: Session, actor: Actor, name: str, at: datetime) -> Channel:
    """The channel, for its caller to send a test message to; raises `PermissionDenied`, `NotFound`."""
    who = authorize(session, actor, "channel.test")
    channel = channels.get(session, name)
    audit_log.record(session, who, "channel.test", at, subject=f"channel {name}")
    return channel


def _shown(channel: Channel) -> dict[str, Any]:
    service = channel.url.partition("://")[0]
    return {"service": service, "enabled": channel.enabled, "min_severity": channel.min_severity}
