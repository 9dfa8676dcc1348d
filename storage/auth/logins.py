"""Logins: names and passwords are checked at a limited rate, and a browser then holds a token of limited lifetime."""

import hashlib
import secrets
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from storage.auth import passwords
from storage.auth.actors import Actor, Role
from storage.database.engine import Database
from storage.database.rows import insert_into
from storage.database.tables import LoginAttemptRow, LoginRow, UserRow
from storage.database.truncate import truncate
from storage.errors import LoginFailed, TooManyAttempts

MAX_ATTEMPTS = 5  # consecutive failures, after which a name is refused
ATTEMPT_WINDOW = timedelta(minutes=15)
IDLE_TIMEOUT = timedelta(hours=12)  # a token that is not used for this long expires
MAX_AGE = timedelta(days=7)  # after creation, used or not
_SEEN_UPDATE_INTERVAL = timedelta(minutes=1)


def authenticate(database: Database, name: str, password: str, at: datetime) -> Actor:
    """Return the actor of this name and password; raises `LoginFailed`, `TooManyAttempts`.

    The errors do not tell whether the name exists. The attempt is counted before the password is verified, so
    concurrent guesses gain nothing, and no transaction is open while the hash is computed.
    """
    with database.begin() as session:
        refused_until = _count_attempt(session, name, at)
        user = session.execute(
            select(UserRow.id, UserRow.role, UserRow.password_hash).where(
                UserRow.name == name, UserRow.disabled_at.is_(None)
            )
        ).first()
    if refused_until is not None:
        minutes = -((at - refused_until) // timedelta(minutes=1))
        raise TooManyAttempts(f"This name was tried {MAX_ATTEMPTS} times: wait {minutes} min and try again.")
    if not passwords.verify(password, user and user.password_hash) or user is None:
        raise LoginFailed("Name or password is not right.")
    with database.begin() as session:
        session.execute(delete(LoginAttemptRow).where(LoginAttemptRow.name == _stored_name(name)))
        if passwords.needs_rehash(user.password_hash):
            new_hash = passwords.hash_password(password)
            unchanged = (UserRow.id == user.id, UserRow.password_hash == user.password_hash)
            session.execute(update(UserRow).where(*unchanged).values(password_hash=new_hash))
    return Actor(name, Role(user.role))


def create(session: Session, name: str, at: datetime) -> str:
    """Create a token for a browser whose user was authenticated, and delete expired ones; only its hash is stored."""
    session.execute(
        delete(LoginRow).where((LoginRow.seen_at <= at - IDLE_TIMEOUT) | (LoginRow.started_at <= at - MAX_AGE))
    )
    token = secrets.token_urlsafe(32)
    user_id = session.scalars(select(UserRow.id).where(UserRow.name == name)).one()
    session.add(LoginRow(token_sha256=_hash(token), user_id=user_id, started_at=at, seen_at=at))
    session.flush()
    return token


def find_actor(session: Session, token: str, at: datetime) -> Actor | None:
    """Return the token's actor in the role they have now; None for an unknown, expired or revoked token."""
    row = session.execute(
        select(UserRow.name, UserRow.role)
        .join(LoginRow, LoginRow.user_id == UserRow.id)
        .where(
            LoginRow.token_sha256 == _hash(token),
            LoginRow.seen_at > at - IDLE_TIMEOUT,
            LoginRow.started_at > at - MAX_AGE,
            UserRow.disabled_at.is_(None),
        )
    ).first()
    return None if row is None else Actor(row.name, Role(row.role))


def touch(session: Session, token: str, at: datetime) -> None:
    """Record that the token was used, which postpones its expiry; written at most once per minute."""
    session.execute(
        update(LoginRow)
        .where(
            LoginRow.token_sha256 == _hash(token),
            LoginRow.seen_at <= at - _SEEN_UPDATE_INTERVAL,
            LoginRow.seen_at > at - IDLE_TIMEOUT,
        )
        .values(seen_at=at)
    )


def revoke(session: Session, token: str) -> None:
    """Log this browser out."""
    session.execute(delete(LoginRow).where(LoginRow.token_sha256 == _hash(token)))


def revoke_all(session: Session, user_id: int) -> None:
    """Log a user out everywhere."""
    session.execute(delete(LoginRow).where(LoginRow.user_id == user_id))


def _count_attempt(session: Session, name: str, at: datetime) -> datetime | None:
    """Count the attempt, in one statement; return the time until which the name is refused, or None."""
    session.execute(delete(LoginAttemptRow).where(LoginAttemptRow.first_at <= at - ATTEMPT_WINDOW))
    statement = insert_into(session, LoginAttemptRow).values(name=_stored_name(name), attempts=1, first_at=at)
    counted = session.execute(
        statement.on_conflict_do_update(
            index_elements=["name"], set_={"attempts": LoginAttemptRow.attempts + 1}
        ).returning(LoginAttemptRow.attempts, LoginAttemptRow.first_at)
    ).one()
    return counted.first_at + ATTEMPT_WINDOW if counted.attempts > MAX_ATTEMPTS else None


def _stored_name(name: str) -> str:
    return truncate(name, 64)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
