"""Passwords: hashed with argon2id, and checked in the same time whether there is such a person or not."""

from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from storage.errors import InvalidChange

MIN_LENGTH = 10  # characters; longer counts for more than odd signs (NIST SP 800-63B)
MAX_LENGTH = 256


def hash_password(password: str) -> str:
    """The hash to keep, with its salt and its cost in it; raises `InvalidChange` for one that is too short or too
    long."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise InvalidChange(f"A password has {MIN_LENGTH} to {MAX_LENGTH} characters.")
    return _hasher().hash(password)


def verify(password: str, kept: str | None) -> bool:
    """Whether it is the password; with nothing kept, False after as much work."""
    try:
        _hasher().verify(kept or _nobodys(), password[: MAX_LENGTH + 1])
    except (VerificationError, InvalidHashError):
        return False
    return kept is not None


def needs_rehash(kept: str) -> bool:
    """Whether it was hashed at another cost than is used now, and should be hashed again."""
    return _hasher().check_needs_rehash(kept)


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()  # argon2id at the costs of RFC 9106 for a server with little memory


@cache
def _nobodys() -> str:
    return _hasher().hash("nobody has this password")
