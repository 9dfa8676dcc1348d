"""Users: people with a role. While no user exists, anyone who opens a page or runs a command may do everything."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from storage.auth import logins
from storage.auth.actors import AUTOPILOT, SINGLE_USER, Actor, Role
from storage.auth.passwords import hash_password
from storage.database.rows import insert_into
from storage.database.tables import UserRow
from storage.errors import InvalidChange, NotFound


@dataclass(frozen=True, slots=True)
class User:
    """A person who can log in until `disabled_at`; without a password only through a login service (OIDC)."""

    id: int
    name: str
    role: Role
    has_password: bool
    created_at: datetime
    disabled_at: datetime | None

    @property
    def actor(self) -> Actor:
        """The user as an actor, in their role."""
        return Actor(self.name, self.role)


def add(session: Session, name: str, role: Role, password: str | None, at: datetime) -> User:
    """Create a user.

    Raises `InvalidChange` for a name that is taken or malformed, a weak password, or a first user who is not an admin.
    """
    if not 1 <= len(name) <= 64 or name != name.strip() or not name.isprintable() or name == SINGLE_USER:
        raise InvalidChange(f"{name[:80]!r} can't name a user: use 1 to 64 characters, such as 'm.weber' or an e-mail.")
    if name.casefold() == AUTOPILOT.name:
        raise InvalidChange(f"{name} is the name under which stations act by themselves: choose another one.")
    if role is not Role.ADMIN and not any_exist(session):
        raise InvalidChange("The first user is an admin, or nobody could add the others: use the role admin.")
    row = {"name": name, "role": str(role), "password_hash": password and hash_password(password), "created_at": at}
    user_id = session.scalar(insert_into(session, UserRow).values(**row).on_conflict_do_nothing().returning(UserRow.id))
    if user_id is None:
        raise InvalidChange(f"A user named {name} exists already: choose another name.")
    return get(session, name)


def set_role(session: Session, name: str, role: Role) -> User:
    """Give a user another role; raises `NotFound`, and `InvalidChange` where no admin would be left."""
    user = get(session, name)
    if role is not Role.ADMIN:
        _require_another_admin(session, user)
    session.execute(update(UserRow).where(UserRow.id == user.id).values(role=str(role)))
    return get(session, name)


def set_password(session: Session, name: str, password: str) -> User:
    """Set a password and log the user out everywhere; raises `NotFound`, `InvalidChange` for a weak one."""
    user = get(session, name)
    session.execute(update(UserRow).where(UserRow.id == user.id).values(password_hash=hash_password(password)))
    logins.revoke_all(session, user.id)
    return get(session, name)


def disable(session: Session, name: str, at: datetime) -> User:
    """Refuse logins by this name from now on and log the user out; the name stays in the audit log.

    Raises `NotFound`, and `InvalidChange` where no admin would be left.
    """
    user = get(session, name)
    if user.disabled_at is None:
        _require_another_admin(session, user)
        session.execute(update(UserRow).where(UserRow.id == user.id).values(disabled_at=at))
        logins.revoke_all(session, user.id)
    return get(session, name)


def enable(session: Session, name: str) -> User:
    """Let a disabled user log in again; raises `NotFound`."""
    user = get(session, name)
    session.execute(update(UserRow).where(UserRow.id == user.id).values(disabled_at=None))
    return get(session, name)


def get(session: Session, name: str) -> User:
    """Return the user; raises `NotFound`."""
    row = session.scalar(select(UserRow).where(UserRow.name == name))
    if row is None:
        raise NotFound(f"There is no user {name[:80]!r}: `andon user list` shows the users.")
    return _user(row)


def list_all(session: Session) -> list[User]:
    """Return all users, disabled ones too, by name."""
    return [_user(row) for row in session.scalars(select(UserRow).order_by(UserRow.name))]


def any_exist(session: Session) -> bool:
    """Return whether any user exists, disabled or not; without one, Andon is in single-user mode."""
    return session.scalar(select(UserRow.id).limit(1)) is not None


def find_actor(session: Session, name: str) -> Actor | None:
    """Return the actor of a name that a login service vouches for; None for an unknown or disabled user."""
    row = session.scalar(select(UserRow).where(UserRow.name == name, UserRow.disabled_at.is_(None)))
    return None if row is None else _user(row).actor


def _require_another_admin(session: Session, excluded: User) -> None:
    """Raise `InvalidChange` for the last admin.

    The admins are locked first, so that of two who remove each other at the same time one fails.
    """
    if excluded.role is not Role.ADMIN or excluded.disabled_at is not None:
        return
    active_admins = (UserRow.role == str(Role.ADMIN), UserRow.disabled_at.is_(None))
    session.execute(select(UserRow.id).where(*active_admins).order_by(UserRow.id).with_for_update())
    if (session.scalar(select(func.count()).select_from(UserRow).where(*active_admins)) or 0) < 2:
        raise InvalidChange(f"The last admin is {excluded.name}: make somebody else an admin first.")


def _user(row: UserRow) -> User:
    return User(row.id, row.name, Role(row.role), row.password_hash is not None, row.created_at, row.disabled_at)
