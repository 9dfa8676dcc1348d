"""Errors of the database and the image store; `foundation.errors` draws the whole tree."""

from typing import ClassVar

from foundation.errors import AndonError, Retriable


class StorageError(AndonError):
    """Root of the errors of the database and the image store."""


class StorageUnavailable(StorageError, Retriable):
    """The database or the image store can't be reached or is full."""

    cause: ClassVar[str] = "database"


class SchemaMismatch(StorageError):
    """The database's schema is not the one this code was written for; `andon db upgrade` is the way out."""


class NotFound(StorageError):
    """A station, normal set, verdict, image or other thing of that name or id does not exist."""


class InvalidChange(StorageError):
    """The change would break a rule: a name is taken, a value is out of range, a normal set has one image."""


class SecretUnreadable(StorageError):
    """An encrypted address can't be read or written: its key is missing, unreadable or another one."""


class PermissionDenied(StorageError):
    """The person's role does not allow the action, or nobody is logged in."""


class LoginFailed(StorageError):
    """The name or the password is not right."""


class TooManyAttempts(LoginFailed):
    """The name was tried too often, and is refused temporarily whatever the password."""
