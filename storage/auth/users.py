"""Users: people with a role. While there is none, whoever is at the machine may do everything."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from storage.auth import logins
from storage.auth.actors import SINGLE_USER, Actor, Role
from storage.auth.passwords import hash_password
from storage.database.rows import insert_into
from storage.database.tables import UserRow
from storage.errors import InvalidChange, NotFound


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who can log in until `disabled_at`; without a password only where another service vouches (OIDC)."""

    id: int
    name: str
    role: Role
    has_password: bool
    created_at: datetime
    disabled_at: datetime | None

    @property
    def actor(self) -> Actor:
        return Actor(self.name, self.role)


def add(session: Session, name: str, role: Role, password: str | None, at: datetime) -> User:
    """Raises `InvalidChange` for a name that is taken or can't be one, a weak password, a first user that is no
    admin."""
    if not 1 <= len(name) <= 64 or name != name.strip() or not name.isprintable() or name == SINGLE_USER:
        raise InvalidChange(f"{name[:80]!r} can't name a user: use 1 to 64 characters, such as 'm.weber' or an e-mail.")
    if role is not Role.ADMIN and not any_exist(session):
        raise InvalidChange("The first user is an admin, or nobody could add the others: use the role admin.")
    row = {"name": name, "role": str(role), "password_hash": password and hash_password(password), "created_at": at}
    made = session.scalar(insert_into(session, UserRow).values(**row).on_conflict_do_nothing().returning(UserRow.id))
    if made is None:
        raise InvalidChange(f"A user named {name} is there already: choose another name.")
    return get(session, name)


def set_role(session: Session, name: str, role: Role) -> User:
    """Raises `NotFound`, and `InvalidChange` where it would leave no admin."""
    user = get(session, name)
    if role is not Role.ADMIN:
        _require_another_admin(session, user)
    session.execute(update(UserRow).where(UserRow.id == user.id).values(role=str(role)))
    return get(session, name)


def set_password(session: Session, name: str, password: str) -> User:
    """Give a new password, and log this user out everywhere; raises `NotFound`, `InvalidChange` for a weak one."""
    user = get(session, name)
    session.execute(update(UserRow).where(UserRow.id == user.id).values(password_hash=hash_password(password)))
    logins.revoke_all(session, user.id)
    return get(session, name)


def disable(session: Session, name: str, at: datetime) -> User:
    """Let nobody log in by this name any more, and log them out; the name stays in the audit log.

    Raises `NotFound`, and `InvalidChange` where it would leave no admin.
    """
    user = get(session, name)
    if user.disabled_at is None:
        _require_another_admin(session, user)
        session.execute(update(UserRow).where(UserRow.id == user.id).values(disabled_at=at))
        logins.revoke_all(session, user.id)
    return get(session, name)


def enable(session: Session, name: str) -> User:
    """Let them log in again; raises `NotFound`."""
    user = get(session, name)
    session.execute(update(UserRow).where(UserRow.id == user.id).values(disabled_at=None))
    return get(session, name)


def get(session: Session, name: str) -> User:
    """Raises `NotFound`."""
    row = session.scalar(select(UserRow).where(UserRow.name == name))
    if row is None:
        raise NotFound(f"There is no user {name[:80]!r}: `andon user list` shows those there are.")
    return _user(row)


def list_all(session: Session) -> list[User]:
    """By name, disabled ones too."""
    return [_user(row) for row in session.scalars(select(UserRow).order_by(UserRow.name))]


def any_exist(session: Session) -> bool:
    """Whether there is any user, disabled or not: without one, Andon is in single-user mode."""
    return session.scalar(select(UserRow.id).limit(1)) is not None


def find_actor(session: Session, name: str) -> Actor | None:
    """Who this name is now, as another service vouches for it; None for an unknown or disabled one."""
    row = session.scalar(select(UserRow).where(UserRow.name == name, UserRow.disabled_at.is_(None)))
    return None if row is None else _user(row).actor


def _require_another_admin(session: Session, leaving: User) -> None:
    """The admins are locked first, so that two who remove each other at once don't both succeed."""
    if leaving.role is not Role.ADMIN or leaving.disabled_at is not None:
        return
    in_office = (UserRow.role == str(Role.ADMIN), UserRow.disabled_at.is_(None))
    session.execute(select(UserRow.id).where(*in_office).order_by(UserRow.id).with_for_update())
    if (session.scalar(select(func.count()).select_from(UserRow).where(*in_office)) or 0) < 2:
        raise InvalidChange(f"The last admin is {leaving.name}: make somebody else an admin first.")


def _user(row: UserRow) -> User:
    return User(row.id, row.name, Role(row.role), row.password_hash is not None, row.created_at, row.disabled_at)
