"""Passwords: hashed with argon2id, and checked in the same time whether there is such a person or not."""

from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from storage.errors import RuleBroken

SHORTEST = 10  # characters; longer counts for more than odd signs (NIST SP 800-63B)
LONGEST = 256


def hashed(password: str) -> str:
    """The hash to keep, with its salt and its cost in it; raises `RuleBroken` for one that is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise RuleBroken(f"A password has {SHORTEST} to {LONGEST} characters.")
    return _hasher().hash(password)


def fits(password: str, kept: str | None) -> bool:
    """Whether it is the password; with nothing kept, False after as much work."""
    try:
        _hasher().verify(kept or _nobodys(), password[: LONGEST + 1])
    except (VerificationError, InvalidHashError):
        return False
    return kept is not None


def is_dated(kept: str) -> bool:
    """Whether it was hashed at another cost than is used now, and should be hashed again."""
    return _hasher().check_needs_rehash(kept)


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()  # argon2id at the costs of RFC 9106 for a server with little memory


@cache
def _nobodys() -> str:
    return _hasher().hash("nobody has this password")
