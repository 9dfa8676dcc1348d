"""Passwords: hashed with argon2id, and verified in the same time whether the user exists or not."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from storage.auth.common_passwords import is_common
from storage.errors import InvalidChange, TooManyAttempts

MIN_LENGTH = 10  # characters; length matters more than special characters (NIST SP 800-63B)
MAX_LENGTH = 256
MAX_AT_ONCE = 2  # a hash takes 64 MiB and all cores: many at once would take the memory of the machine
MAX_WAITING = 20
WAIT_S = 10.0


def hash_password(password: str) -> str:
    """Return the hash to store, with its salt and cost parameters; raises `InvalidChange` for a bad length."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise InvalidChange(f"A password has {MIN_LENGTH} to {MAX_LENGTH} characters.")
    if is_common(password):
        raise InvalidChange(
            "This password is among the first that are tried: take several words that come to your mind."
        )
    with _work():
        return _hasher().hash(password)


def verify(password: str, stored: str | None) -> bool:
    """Return whether the password matches the stored hash; without a hash, return False after the same work.

    Raises:
        TooManyAttempts: So many passwords are being checked that this one would wait for long.
    """
    try:
        with _work():
            _hasher().verify(stored or _dummy_hash(), password[: MAX_LENGTH + 1])
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


def needs_rehash(stored: str) -> bool:
    """Return whether the hash was made with other cost parameters than the current ones."""
    return _hasher().check_needs_rehash(stored)


_running = threading.BoundedSemaphore(MAX_AT_ONCE)
_queued = threading.BoundedSemaphore(MAX_AT_ONCE + MAX_WAITING)


@contextmanager
def _work() -> Iterator[None]:
    """Wait until this hash may be computed; raises `TooManyAttempts` for one too many."""
    busy = "Too many people log in at this moment: try again in a few seconds."
    if not _queued.acquire(blocking=False):
        raise TooManyAttempts(busy)
    try:
        if not _running.acquire(timeout=WAIT_S):
            raise TooManyAttempts(busy)
        try:
            yield
        finally:
            _running.release()
    finally:
        _queued.release()


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()  # argon2id at the costs of RFC 9106 for a server with little memory


@cache
def _dummy_hash() -> str:
    return _hasher().hash("nobody has this password")
