"""What people do to users; passwords reach no audit entry."""

from datetime import datetime

from sqlalchemy.orm import Session

from storage.auth import audit_log, users
from storage.auth.actors import Actor, Role
from storage.auth.permission import authorize
from storage.auth.rights import Action
from storage.auth.users import User


def add(session: Session, actor: Actor, name: str, role: Role, password: str | None, at: datetime) -> User:
    """As `users.add`; raises `PermissionDenied`. The first one, an admin, ends single-user mode."""
    who = authorize(session, actor, "user.add")
    made = users.add(session, name, role, password, at)
    after = {"role": str(role), "has_password": made.has_password}
    audit_log.record(session, who, "user.add", at, subject=f"user {name}", after=after)
    return made


def set_role(session: Session, actor: Actor, name: str, role: Role, at: datetime) -> User:
    """As `users.set_role`; raises `PermissionDenied`. What changes nothing is no entry."""
    who = authorize(session, actor, "user.role")
    before = users.get(session, name)
    after = users.set_role(session, name, role)
    if before.role != after.role:
        roles = {"role": str(before.role)}, {"role": str(after.role)}
        audit_log.record(session, who, "user.role", at, subject=f"user {name}", before=roles[0], after=roles[1])
    return after


def set_password(session: Session, actor: Actor, name: str, password: str, at: datetime) -> User:
    """As `users.set_password`: everybody sets their own, an admin anybody's; raises `PermissionDenied`."""
    action: Action = "user.own_password" if actor.name == name else "user.password"
    who = authorize(session, actor, action)
    changed = users.set_password(session, name, password)
    audit_log.record(session, who, action, at, subject=f"user {name}")
    return changed


def disable(session: Session, actor: Actor, name: str, at: datetime) -> User:
    """As `users.disable`; raises `PermissionDenied`. Doing it again is no entry."""
    who = authorize(session, actor, "user.disable")
    before = users.get(session, name)
    after = users.disable(session, name, at)
    if before.disabled_at is None:
        audit_log.record(session, who, "user.disable", at, subject=f"user {name}", before={"role": str(before.role)})
    return after


def enable(session: Session, actor: Actor, name: str, at: datetime) -> User:
    """As `users.enable`; raises `PermissionDenied`. Doing it again is no entry."""
    who = authorize(session, actor, "user.enable")
    before = users.get(session, name)
    after = users.enable(session, name)
    if before.disabled_at is not None:
        audit_log.record(session, who, "user.enable", at, subject=f"user {name}", after={"role": str(after.role)})
    return after
