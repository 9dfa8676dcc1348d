"""Logins: names and passwords are checked at a limited rate, and a browser then holds a token of limited lifetime."""

import hashlib
import math
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
MAX_ATTEMPTS_PER_ADDRESS = 10  # failures, after which one more is allowed every ADDRESS_INTERVAL
ADDRESS_INTERVAL = timedelta(seconds=20)
IDLE_TIMEOUT = timedelta(hours=12)  # a token that is not used for this long expires
MAX_AGE = timedelta(days=7)  # after creation, used or not
_SEEN_UPDATE_INTERVAL = timedelta(minutes=1)


def authenticate(database: Database, name: str, password: str, at: datetime, address: str | None = None) -> Actor:
    """Return the actor of this name and password; raises `LoginFailed`, `TooManyAttempts`.

    The errors do not tell whether the name exists. The attempt is counted before the password is verified, so
    concurrent guesses gain nothing, and no transaction is open while the hash is computed. From one `address` (of the
    network; None for a command) ten attempts may fail, and then one every 20 s, whatever the names.
    """
    if not name.isprintable():  # names nobody, and can't be taken for the key of an address
        raise LoginFailed("Name or password is not right.")
    with database.begin() as session:
        wait = None if address is None else _count_address(session, address, at)
        if wait is not None:
            seconds = math.ceil(wait.total_seconds())
            raise TooManyAttempts(f"Too many logins failed at your address: wait {seconds} s and try again.")
        refused_until = _count_attempt(session, name, at)
        user = session.execute(
            select(UserRow.id, UserRow.role, UserRow.password_hash).where(
                UserRow.name == name, UserRow.disabled_at.is_(None)
            )
        ).first()
    if refused_until is not None:
        minutes = -((at - refused_until) // timedelta(minutes=1))
        raise TooManyAttempts(f"This name was tried {MAX_ATTEMPTS} times: wait {minutes} min and try again.")
    try:
        is_right = passwords.verify(password, user and user.password_hash)
    except TooManyAttempts:  # of others; this one was not a guess
        with database.begin() as session:
            _uncount(session, _stored_name(name))
        raise
    if not is_right or user is None:
        raise LoginFailed("Name or password is not right.")
    with database.begin() as session:
        session.execute(delete(LoginAttemptRow).where(LoginAttemptRow.name == _stored_name(name)))
        if address is not None:
            _uncount(session, _address_key(address))
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


def _count_address(session: Session, address: str, at: datetime) -> timedelta | None:
    """Count an attempt from an address; return how long it has to wait instead, without being counted, or None."""
    key = _address_key(address)
    statement = insert_into(session, LoginAttemptRow).values(name=key, attempts=1, first_at=at)
    counted = session.execute(
        statement.on_conflict_do_update(
            index_elements=["name"], set_={"attempts": LoginAttemptRow.attempts + 1}
        ).returning(LoginAttemptRow.attempts, LoginAttemptRow.first_at)
    ).one()
    excess = counted.attempts - MAX_ATTEMPTS_PER_ADDRESS
    wait: timedelta = counted.first_at + excess * ADDRESS_INTERVAL - at
    if excess <= 0 or wait <= timedelta():
        return None
    _uncount(session, key)
    return wait


def _uncount(session: Session, key: str) -> None:
    session.execute(
        update(LoginAttemptRow)
        .where(LoginAttemptRow.name == key, LoginAttemptRow.attempts > 0)
        .values(attempts=LoginAttemptRow.attempts - 1)
    )


def _address_key(address: str) -> str:
    return truncate(f"\x7f{address}", 64)  # no name: names are printable


def _stored_name(name: str) -> str:
    return truncate(name, 64)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
