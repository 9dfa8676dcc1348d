"""Actions on users; passwords reach no audit entry."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from storage.actions.audited import audited
from storage.auth import users
from storage.auth.actors import Actor, Role
from storage.auth.rights import Action
from storage.auth.users import User


def add(session: Session, actor: Actor, name: str, role: Role, password: str | None, at: datetime) -> User:
    """Create a user; the first one, an admin, ends single-user mode. Raises as `users.add`."""
    with audited(session, actor, "user.add", at, f"user {name}") as change:
        added = users.add(session, name, role, password, at)
        change.after = {"role": str(role), "has_password": added.has_password}
    return added


def set_role(session: Session, actor: Actor, name: str, role: Role, at: datetime) -> User:
    """Give a user another role; raises as `users.set_role`."""
    with audited(session, actor, "user.role", at, f"user {name}") as change:
        change.before = _role(users.get(session, name))
        changed = users.set_role(session, name, role)
        change.after = _role(changed)
    return changed


def set_password(session: Session, actor: Actor, name: str, password: str, at: datetime) -> User:
    """Set the actor's own password or, as an admin, anybody's; raises as `users.set_password`."""
    action: Action = "user.own_password" if actor.name == name else "user.password"
    with audited(session, actor, action, at, f"user {name}") as change:
        changed = users.set_password(session, name, password)
        change.after = {"password": "changed"}
    return changed


def disable(session: Session, actor: Actor, name: str, at: datetime) -> User:
    """Disable logins by this name; raises as `users.disable`."""
    with audited(session, actor, "user.disable", at, f"user {name}") as change:
        change.before = _access(users.get(session, name))
        disabled = users.disable(session, name, at)
        change.after = _access(disabled)
    return disabled


def enable(session: Session, actor: Actor, name: str, at: datetime) -> User:
    """Let a disabled user log in again; raises as `users.enable`."""
    with audited(session, actor, "user.enable", at, f"user {name}") as change:
        change.before = _access(users.get(session, name))
        enabled = users.enable(session, name)
        change.after = _access(enabled)
    return enabled


def _role(user: User) -> dict[str, Any]:
    return {"role": str(user.role)}


def _access(user: User) -> dict[str, Any]:
    return {"role": str(user.role), "disabled": user.disabled_at is not None}
