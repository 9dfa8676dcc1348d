"""Passwords: hashed with argon2id, and verified in the same time whether the user exists or not."""

from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from storage.errors import InvalidChange

MIN_LENGTH = 10  # characters; length matters more than special characters (NIST SP 800-63B)
MAX_LENGTH = 256


def hash_password(password: str) -> str:
    """Return the hash to store, with its salt and cost parameters; raises `InvalidChange` for a bad length."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise InvalidChange(f"A password has {MIN_LENGTH} to {MAX_LENGTH} characters.")
    return _hasher().hash(password)


def verify(password: str, stored: str | None) -> bool:
    """Return whether the password matches the stored hash; without a hash, return False after the same work."""
    try:
        _hasher().verify(stored or _dummy_hash(), password[: MAX_LENGTH + 1])
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


def needs_rehash(stored: str) -> bool:
    """Return whether the hash was made with other cost parameters than the current ones."""
    return _hasher().check_needs_rehash(stored)


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()  # argon2id at the costs of RFC 9106 for a server with little memory


@cache
def _dummy_hash() -> str:
    return _hasher().hash("nobody has this password")
