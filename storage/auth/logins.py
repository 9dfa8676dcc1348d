"""Logging in: names and passwords are checked at a limited rate, and a browser then holds a token for a while."""

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

MAX_ATTEMPTS = 5  # wrong ones in a row, after which a name waits
ATTEMPT_WINDOW = timedelta(minutes=15)
IDLE_TIMEOUT = timedelta(hours=12)  # a token unused for so long is no good any more
MAX_AGE = timedelta(days=7)  # nor is one so old, used or not
_SEEN_EVERY = timedelta(minutes=1)


def authenticate(database: Database, name: str, password: str, at: datetime) -> Actor:
    """Who this is; raises `LoginFailed`, which never says whether there is such a name.

    The attempt is counted before the password is looked at, so guessing many at once gains nothing, and the database
    is not held while the hash is worked out.
    """
    with database.begin() as session:
        waits_until = _count_attempt(session, name, at)
        kept = session.execute(
            select(UserRow.id, UserRow.role, UserRow.password_hash).where(
                UserRow.name == name, UserRow.disabled_at.is_(None)
            )
        ).first()
    if waits_until is not None:
        minutes = -((at - waits_until) // timedelta(minutes=1))
        raise TooManyAttempts(f"This name was tried {MAX_ATTEMPTS} times: wait {minutes} min and try again.")
    if not passwords.verify(password, kept and kept.password_hash) or kept is None:
        raise LoginFailed("Name or password is not right.")
    with database.begin() as session:
        session.execute(delete(LoginAttemptRow).where(LoginAttemptRow.name == _tried(name)))
        if passwords.needs_rehash(kept.password_hash):
            fresh = passwords.hash_password(password)
            unchanged = (UserRow.id == kept.id, UserRow.password_hash == kept.password_hash)
            session.execute(update(UserRow).where(*unchanged).values(password_hash=fresh))
    return Actor(name, Role(kept.role))


def create(session: Session, name: str, at: datetime) -> str:
    """A new token for a browser whose user was checked; only its hash is kept. Tokens that expired are forgotten."""
    session.execute(
        delete(LoginRow).where((LoginRow.seen_at <= at - IDLE_TIMEOUT) | (LoginRow.started_at <= at - MAX_AGE))
    )
    token = secrets.token_urlsafe(32)
    user_id = session.scalars(select(UserRow.id).where(UserRow.name == name)).one()
    session.add(LoginRow(token_sha256=_hash(token), user_id=user_id, started_at=at, seen_at=at))
    session.flush()
    return token


def find_actor(session: Session, token: str, at: datetime) -> Actor | None:
    """Whose token it is, in the role they have now; None for one that is unknown, expired or ended. Only reads."""
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
    """Note that it was used, so that it stays good; written at most once a minute."""
    session.execute(
        update(LoginRow)
        .where(
            LoginRow.token_sha256 == _hash(token),
            LoginRow.seen_at <= at - _SEEN_EVERY,
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
    """Count it; return until when the name waits, None when it may be tried. One statement, so none slips between."""
    session.execute(delete(LoginAttemptRow).where(LoginAttemptRow.first_at <= at - ATTEMPT_WINDOW))
    statement = insert_into(session, LoginAttemptRow).values(name=_tried(name), attempts=1, first_at=at)
    counted = session.execute(
        statement.on_conflict_do_update(
            index_elements=["name"], set_={"attempts": LoginAttemptRow.attempts + 1}
        ).returning(LoginAttemptRow.attempts, LoginAttemptRow.first_at)
    ).one()
    return counted.first_at + ATTEMPT_WINDOW if counted.attempts > MAX_ATTEMPTS else None


def _tried(name: str) -> str:
    return truncate(name, 64)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
